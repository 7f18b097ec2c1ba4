#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/rollback.h"
#include "base/status_macros.h"
#include "sandbox/made_path.h"
#include "sandbox/parallel.h"
#include "sandbox/paths.h"
#include "sandbox/pod_init.h"
#include "sandbox/pod_network.h"
#include "sandbox/pod_resources.h"
#include "sandbox/unimplemented.h"
#include "sandbox/user_mappings.h"
#include "sandbox/validate.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

// What the request asks of this host.
absl::Status CheckHost(const Core& core, const cri::PodSandboxConfig& config) {
  ASSIGN_OR_RETURN(const os::UserMappings users, PodUserMappings(config));
  if (!users.empty() && !core.facts.has_user_namespaces) {
    return NotOffered("linux.security_context.namespace_options.userns_options.mode", "POD",
                      "user namespaces with idmapped layers need Linux 5.19");
  }
  if (!HasOwnNetwork(config)) return absl::OkStatus();
  RETURN_IF_ERROR_CTX(core.network.Ready(),
                      absl::StrCat("run pod sandbox ", config.metadata().name()));
  return absl::OkStatus();
}

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
  if (HasOwnNetwork(config)) record.set_network_path(paths::NetworkPin(core.options, id));
  record.set_private_ipc(config.linux().security_context().namespace_options().ipc() != cri::NODE);
  record.set_hostname(config.hostname().empty() ? core.facts.hostname : config.hostname());
  record.set_cgroup_parent(config.linux().cgroup_parent().empty()
                               ? absl::StrCat(core.options.cgroup_root, "/", id.str())
                               : config.linux().cgroup_parent());
  record.set_init_cgroup(InitCgroup(config, record.cgroup_parent(), id));
  for (std::string& dir : core.host->MissingCgroups(record.cgroup_parent())) {
    record.add_made_cgroup_dirs(std::move(dir));
  }
  record.set_made_log_dir(TopmostMissing(config.log_directory()));
  return std::make_shared<Pod>(id, std::move(record));
}

// What a pod has besides its network: made while the plugins run.
absl::Status MakeBesides(Core& core, Pod& pod, const SandboxRecord& record, shim::PodInit* init) {
  ASSIGN_OR_RETURN(*init, StartInit(core, pod));
  BERTH_FAILPOINT(run_pod_after_init);
  RETURN_IF_ERROR_CTX(WritePodFiles(core, pod.id, record), "write pod files");
  BERTH_FAILPOINT(run_pod_after_files);
  return absl::OkStatus();
}

absl::Status Attach(Core& core, const Pod& pod, std::vector<std::string>* ips) {
  ASSIGN_OR_RETURN_CTX(*ips, AttachPod(core, pod), "attach to the network");
  BERTH_FAILPOINT(run_pod_after_attach);
  return absl::OkStatus();
}

// The plugins beside the rest; the first error of the two is the answer.
absl::Status MakeWithNetwork(Core& core, Pod& pod, const SandboxRecord& record, shim::PodInit* init,
                             std::vector<std::string>* ips) {
  absl::Status network;
  absl::Status besides;
  const auto part = [&](size_t i) {
    if (i == 0) network = Attach(core, pod, ips);
    if (i == 1) besides = MakeBesides(core, pod, record, init);
  };
  ForEachParallel(2, record.network_path().empty() ? 1 : 2, part);
  RETURN_IF_ERROR(network);
  RETURN_IF_ERROR(besides);
  return WriteHostsFile(core, pod.id, record, *ips);
}

absl::Status MakePod(Core& core, Pod& pod, Rollback& undo) {
  const SandboxRecord record = pod.view()->record;
  BERTH_FAILPOINT(run_pod_after_intent);
  undo.Add("remove log directory", [record] { return RemoveLogDirectory(record); });
  RETURN_IF_ERROR_CTX(MakeLogDirectory(record), "make log directory");
  BERTH_FAILPOINT(run_pod_after_log_directory);
  undo.Add("remove cgroup",
           // Not the rollback's deadline: plugins may have used it up.
           [&core, record] { return RemovePodCgroup(core, record, core.KillDeadline()); });
  RETURN_IF_ERROR_CTX(MakePodCgroup(core, record), "make cgroup");
  BERTH_FAILPOINT(run_pod_after_cgroup);
  undo.Add("unpin namespaces", [&core, &pod] {
    // A network that is attached still needs them.
    return OwesDetach(core, pod) ? absl::OkStatus() : UnpinPod(core, pod);
  });
  RETURN_IF_ERROR_CTX(PinPod(core, pod), "pin namespaces");
  BERTH_FAILPOINT(run_pod_after_pin);
  undo.Add("end init", [&core, &pod] { return EndInit(core, pod, core.KillDeadline()); });
  undo.Add("remove pod files", [&core, &pod] { return RemovePodFiles(core, pod.id); });
  undo.Add("detach from the network", [&core, &pod] { return DetachPod(core, pod); });
  shim::PodInit init;
  std::vector<std::string> ips;
  RETURN_IF_ERROR(MakeWithNetwork(core, pod, record, &init, &ips));
  RETURN_IF_ERROR(pod.cell.Update(core.store, [&](SandboxRecord& r) {
    if (!r.init_cgroup().empty()) {
      r.set_init_pid(init.pid);
      r.set_init_start_time(init.start_time);
    }
    r.mutable_ips()->Add(ips.begin(), ips.end());
    return Advance(r, PodEvent::kRunDone);
  }));
  BERTH_FAILPOINT(run_pod_after_commit);
  return WatchInit(core, pod);
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
  RETURN_IF_ERROR(CheckHost(core, request.config()));
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
