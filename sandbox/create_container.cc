#include <fcntl.h>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/os/file.h"
#include "base/rollback.h"
#include "base/status_macros.h"
#include "sandbox/container_end.h"
#include "sandbox/container_files.h"
#include "sandbox/container_plan.h"
#include "sandbox/made_path.h"
#include "sandbox/paths.h"
#include "sandbox/pod_init.h"
#include "sandbox/pod_resources.h"
#include "sandbox/trash.h"
#include "sandbox/validate.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

// The fds that the shim is handed, opened in the host's mount namespace now.
absl::StatusOr<shim::Launch> PrepareLaunch(Core& core, const ContainerId& id, const Pod& pod,
                                           ContainerPlan& plan, os::UniqueFd log) {
  ASSIGN_OR_RETURN(os::PodNamespaces namespaces, OpenPod(core, pod));
  shim::Launch launch{id};
  launch.spec = std::move(plan.built.spec);
  launch.root = shim::OverlayRoot{plan.lowers, paths::RelativeUpper(id), paths::RelativeWork(id),
                                  core.options.volatile_overlays};
  ASSIGN_OR_RETURN(launch.mount_trees,
                   OpenTrees(core, plan.built.trees, std::move(namespaces.shm)));
  launch.namespaces.emplace_back(shim::oci::NamespaceType::kUts, std::move(namespaces.uts));
  if (namespaces.ipc.valid()) {
    launch.namespaces.emplace_back(shim::oci::NamespaceType::kIpc, std::move(namespaces.ipc));
  }
  if (namespaces.net.valid()) {
    launch.namespaces.emplace_back(shim::oci::NamespaceType::kNetwork, std::move(namespaces.net));
  }
  if (namespaces.user.valid()) {
    launch.namespaces.emplace_back(shim::oci::NamespaceType::kUser, std::move(namespaces.user));
  }
  if (SharesPodPid(ConfigOf(plan.record), ConfigOf(pod.view()->record))) {
    ASSIGN_OR_RETURN(os::UniqueFd pid, OpenInitNamespace(core, pod));
    launch.namespaces.emplace_back(shim::oci::NamespaceType::kPid, std::move(pid));
  }
  launch.seccomp = std::move(plan.seccomp);
  launch.bundle = paths::ContainerDir(core.options, launch.id);
  launch.log = std::move(log);
  launch.keep_stdin_open = plan.keep_stdin_open;
  launch.log_limits = core.options.log_limits;
  return launch;
}

// For people: what the shim was given.
absl::Status WriteSpec(Core& core, const ContainerId& id, const shim::oci::Spec& spec) {
  ASSIGN_OR_RETURN(os::UniqueFd dir,
                   os::Open(paths::ContainerDir(core.options, id), O_RDONLY | O_DIRECTORY));
  return os::WriteFileAtomic(dir.get(), "config.json", shim::oci::ToJson(spec), 0600,
                             os::Durability::kProcessCrash);
}

absl::Status MakeContainer(Core& core, const Pod& pod, Container& container, ContainerPlan plan,
                           Rollback& undo) {
  const ContainerId& id = container.id;
  const ContainerRecord record = container.view()->record;
  BERTH_FAILPOINT(create_container_after_intent);
  undo.Add("let go of the image's layers", [&core, id] {
    core.images.Unhold(id.str());
    return absl::OkStatus();
  });
  RETURN_IF_ERROR_CTX(core.images.Hold(id.str(), plan.layers), "hold the image's layers");
  undo.Add("move directories to trash", [&core, id] { return MoveToTrash(core, id); });
  RETURN_IF_ERROR_CTX(MakeContainerDirs(core, id), "make directories");
  BERTH_FAILPOINT(create_container_after_directories);
  undo.Add("remove empty log",
           [record] { return RemoveMade(record.log_path(), record.made_log()); });
  ASSIGN_OR_RETURN_CTX(os::UniqueFd log, OpenLog(plan.log_directory, plan.log_path), "open log");
  BERTH_FAILPOINT(create_container_after_log);
  ASSIGN_OR_RETURN(shim::Launch launch, PrepareLaunch(core, id, pod, plan, std::move(log)));
  RETURN_IF_ERROR_CTX(WriteSpec(core, id, launch.spec), "write config.json");
  undo.Add("remove shim and cgroup", [&core, id, record](Deadline deadline) {
    core.shims->Unwatch(id);
    return core.launcher.Remove(id, record.cgroups_path(), deadline);
  });
  ASSIGN_OR_RETURN(const shim::Launched launched,
                   core.launcher.Create(std::move(launch), core.Turn()));
  BERTH_FAILPOINT(create_container_after_launch);
  RETURN_IF_ERROR_CTX(core.shims->Watch(id, core.Turn()), "watch shim");
  RETURN_IF_ERROR(container.cell.Update(core.store, [&](ContainerRecord& r) {
    r.set_shim_pid(launched.shim_pid);
    r.set_shim_start_time(launched.shim_start_time);
    r.set_init_pid(launched.init_pid);
    r.set_init_start_time(launched.init_start_time);
    return Advance(r, ContainerEvent::kCreateDone);
  }));
  BERTH_FAILPOINT(create_container_after_commit);
  return absl::OkStatus();
}

// What could not be undone keeps its intent: the pod's removal or the next start finishes it.
absl::Status UndoContainer(Core& core, Container& container, Rollback& undo) {
  RETURN_IF_ERROR(undo.Run());
  EmptyTrash(core);
  store::Batch batch;
  batch.Delete(kContainerKind, container.id.str());
  RETURN_IF_ERROR(core.store.Commit(batch, store::Sync::kNormal));
  core.containers.Erase(container.id.str());
  return absl::OkStatus();
}

absl::StatusOr<std::string> LeadCreate(Core& core, const PodPtr& pod,
                                       const cri::ContainerConfig& config) {
  ASSIGN_OR_RETURN(OperationSlot::Held held, pod->slot.Acquire("create container", core.Turn()));
  if (pod->view()->state != PodState::kReady) {
    return absl::FailedPreconditionError(absl::StrCat("create container ", config.metadata().name(),
                                                      ": pod sandbox ", pod->id.str(), " is ",
                                                      Name(pod->view()->state)));
  }
  const ContainerId id = ContainerId::New();
  ASSIGN_OR_RETURN_CTX(ContainerPlan plan, PlanContainer(core, id, *pod, config),
                       absl::StrCat("create container ", config.metadata().name()));
  const auto container = std::make_shared<Container>(id, plan.record);
  RETURN_IF_ERROR(
      container->cell.Update(core.store, [](ContainerRecord&) { return absl::OkStatus(); }));
  core.containers.Insert(container);
  Rollback undo("create container", core.options.kill_timeout);
  if (absl::Status made = MakeContainer(core, *pod, *container, std::move(plan), undo);
      !made.ok()) {
    if (absl::Status undone = UndoContainer(core, *container, undo); !undone.ok()) {
      made = Annotate(made, absl::StrCat("undo: ", undone.message()));
    }
    return Annotate(made, absl::StrCat("create container ", config.metadata().name()));
  }
  std::move(undo).Commit();
  return id.str();
}

// A retry: the same identity again.
absl::StatusOr<std::string> JoinCreate(Core& core, const std::string& name, Flight& flight,
                                       const std::string& content) {
  ASSIGN_OR_RETURN_CTX(std::string id, flight.Wait(core.Turn()), "join create container");
  const ContainerPtr container = core.containers.Find(id);
  if (container == nullptr) {
    return absl::AbortedError(
        absl::StrCat("create container: ", id, " of the same name went away"));
  }
  const ContainerViewPtr view = container->view();
  if (view->state == ContainerState::kCreated && flight.content() == content) return id;
  return absl::AlreadyExistsError(absl::StrCat(
      "create container ", name, ": the name is held by ", id, ", which is ", Name(view->state),
      flight.content() == content ? "" : " and made from another configuration"));
}

}  // namespace

absl::StatusOr<cri::CreateContainerResponse> CreateContainer(
    Core& core, const cri::CreateContainerRequest& request) {
  ASSIGN_OR_RETURN(const PodPtr pod, FindPod(core, request.pod_sandbox_id()));
  const cri::ContainerConfig& config = request.config();
  RETURN_IF_ERROR(ValidateContainer(config, ConfigOf(pod->view()->record)));
  const std::string name = ContainerName(pod->id.str(), config.metadata());
  const std::string content = DeterministicBytes(config);
  const NameTable::Ticket ticket = core.containers.names().Claim(name, content);
  absl::StatusOr<std::string> id;
  if (ticket.leader) {
    id = LeadCreate(core, pod, config);
    core.containers.names().Finish(name, ticket.flight, id);
  } else {
    id = JoinCreate(core, config.metadata().name(), *ticket.flight, content);
  }
  RETURN_IF_ERROR(id.status());
  cri::CreateContainerResponse response;
  response.set_container_id(*std::move(id));
  return response;
}

}  // namespace berth::sandbox
