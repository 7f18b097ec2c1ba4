#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/rollback.h"
#include "base/status_macros.h"
#include "sandbox/made_path.h"
#include "sandbox/paths.h"
#include "sandbox/pod_resources.h"
#include "sandbox/validate.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

// Every name that the steps below will use: written before the first of them.
PodPtr PlanPod(Core& core, const cri::RunPodSandboxRequest& request) {
  const SandboxId id = SandboxId::New();
  const cri::PodSandboxConfig& config = request.config();
  SandboxRecord record;
  record.set_state(SandboxRecord::CREATING);
  record.set_config(DeterministicBytes(config));
  record.set_created_at(WallNanos());
  record.set_runtime_handler(request.runtime_handler());
  record.set_boot_id(core.facts.boot_id);
  record.set_pin_path(paths::Pin(core.options, id));
  record.set_private_ipc(config.linux().security_context().namespace_options().ipc() != cri::NODE);
  record.set_hostname(config.hostname().empty() ? core.facts.hostname : config.hostname());
  record.set_cgroup_parent(config.linux().cgroup_parent().empty()
                               ? absl::StrCat(core.options.cgroup_root, "/", id.str())
                               : config.linux().cgroup_parent());
  for (std::string& dir : core.host->MissingCgroups(record.cgroup_parent())) {
    record.add_made_cgroup_dirs(std::move(dir));
  }
  record.set_made_log_dir(TopmostMissing(config.log_directory()));
  return std::make_shared<Pod>(id, std::move(record));
}

absl::Status MakePod(Core& core, Pod& pod, Rollback& undo) {
  const SandboxRecord record = pod.view()->record;
  BERTH_FAILPOINT(run_pod_after_intent);
  undo.Add("remove log directory", [record] { return RemoveLogDirectory(record); });
  RETURN_IF_ERROR_CTX(MakeLogDirectory(record), "make log directory");
  BERTH_FAILPOINT(run_pod_after_log_directory);
  undo.Add("remove cgroup",
           [&core, record](Deadline deadline) { return RemovePodCgroup(core, record, deadline); });
  RETURN_IF_ERROR_CTX(MakePodCgroup(core, record), "make cgroup");
  BERTH_FAILPOINT(run_pod_after_cgroup);
  undo.Add("unpin namespaces", [&core, &pod] { return UnpinPod(core, pod.id); });
  RETURN_IF_ERROR_CTX(PinPod(core, pod.id, record), "pin namespaces");
  BERTH_FAILPOINT(run_pod_after_pin);
  undo.Add("remove pod files", [&core, &pod] { return RemovePodFiles(core, pod.id); });
  RETURN_IF_ERROR_CTX(WritePodFiles(core, pod.id, record), "write pod files");
  BERTH_FAILPOINT(run_pod_after_files);
  RETURN_IF_ERROR(
      pod.cell.Update(core.store, [](SandboxRecord& r) { return Advance(r, PodEvent::kRunDone); }));
  BERTH_FAILPOINT(run_pod_after_commit);
  return absl::OkStatus();
}

// What could not be undone is owed: the pod stays, NOTREADY, for the caller to remove.
absl::Status KeepForRemoval(Core& core, Pod& pod, const absl::Status& undone) {
  return pod.cell.Update(core.store, [&](SandboxRecord& r) {
    r.add_pending(std::string(undone.message()));
    return Advance(r, StateOf(r) == PodState::kReady ? PodEvent::kStop : PodEvent::kRunFailed);
  });
}

// Undoes what MakePod left. The pod is forgotten when nothing is left of it.
absl::Status UndoPod(Core& core, Pod& pod, Rollback& undo) {
  const absl::Status undone = undo.Run();
  return undone.ok() ? ForgetPod(core, pod) : KeepForRemoval(core, pod, undone);
}

absl::StatusOr<std::string> LeadRun(Core& core, const cri::RunPodSandboxRequest& request) {
  const PodPtr pod = PlanPod(core, request);
  ASSIGN_OR_RETURN(OperationSlot::Held held, pod->slot.Acquire("run pod sandbox", core.Turn()));
  RETURN_IF_ERROR(pod->cell.Update(core.store, [](SandboxRecord&) { return absl::OkStatus(); }));
  core.pods.Insert(pod);
  Rollback undo("run pod sandbox", core.options.kill_timeout);
  if (absl::Status made = MakePod(core, *pod, undo); !made.ok()) {
    if (absl::Status undone = UndoPod(core, *pod, undo); !undone.ok()) {
      made = Annotate(made, absl::StrCat("undo: ", undone.message()));
    }
    return Annotate(made, absl::StrCat("run pod sandbox ", request.config().metadata().name()));
  }
  std::move(undo).Commit();
  return pod->id.str();
}

// A retry: the same identity again. The pod it finds is the answer only if it is this request's.
absl::StatusOr<std::string> JoinRun(Core& core, const cri::RunPodSandboxRequest& request,
                                    Flight& flight, const std::string& content) {
  ASSIGN_OR_RETURN_CTX(std::string id, flight.Wait(core.Turn()), "join run pod sandbox");
  const PodPtr pod = core.pods.Find(id);
  if (pod == nullptr) {
    return absl::AbortedError(absl::StrCat("run pod sandbox: ", id, " of the same name went away"));
  }
  const PodViewPtr view = pod->view();
  if (view->state == PodState::kReady && flight.content() == content) return id;
  const cri::PodSandboxMetadata& metadata = request.config().metadata();
  return absl::AlreadyExistsError(
      absl::StrCat("run pod sandbox ", metadata.namespace_(), "/", metadata.name(), " (uid ",
                   metadata.uid(), ", attempt ", metadata.attempt(), "): the name is held by ", id,
                   ", which is ", Name(view->state),
                   flight.content() == content ? "" : " and made from another configuration"));
}

}  // namespace

absl::StatusOr<cri::RunPodSandboxResponse> RunPodSandbox(Core& core,
                                                         const cri::RunPodSandboxRequest& request) {
  RETURN_IF_ERROR(ValidatePodSandbox(request, core.options));
  const std::string name = PodName(request.config().metadata());
  const std::string content = DeterministicBytes(request.config());
  const NameTable::Ticket ticket = core.pods.names().Claim(name, content);
  absl::StatusOr<std::string> id;
  if (ticket.leader) {
    id = LeadRun(core, request);
    core.pods.names().Finish(name, ticket.flight, id);
  } else {
    id = JoinRun(core, request, *ticket.flight, content);
  }
  RETURN_IF_ERROR(id.status());
  cri::RunPodSandboxResponse response;
  response.set_pod_sandbox_id(*std::move(id));
  return response;
}

}  // namespace berth::sandbox
