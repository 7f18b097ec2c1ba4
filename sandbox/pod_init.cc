#include "sandbox/pod_init.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/pod_resources.h"
#include "sandbox/user_mappings.h"

namespace berth::sandbox {
namespace {

using shim::oci::NamespaceType;

void LogFailure(absl::string_view what, const SandboxId& id, const absl::Status& status) {
  if (status.ok()) return;
  LogError(what, {{"pod", id.str()}, {"error", status.ToString()}});
}

}  // namespace

bool SharesPodPid(const cri::ContainerConfig& config, const cri::PodSandboxConfig& pod) {
  const cri::LinuxContainerSecurityContext& security = config.linux().security_context();
  const cri::NamespaceOption& asked = security.has_namespace_options()
                                          ? security.namespace_options()
                                          : pod.linux().security_context().namespace_options();
  return asked.pid() == cri::POD;
}

std::string InitCgroup(const cri::PodSandboxConfig& config, const std::string& cgroup_parent,
                       const SandboxId& id) {
  if (config.linux().security_context().namespace_options().pid() != cri::POD) return "";
  return absl::StrCat(cgroup_parent, "/init-", id.str());
}

absl::StatusOr<shim::PodInit> StartInit(Core& core, const Pod& pod) {
  const SandboxRecord record = pod.view()->record;
  if (record.init_cgroup().empty()) return shim::PodInit{};
  ASSIGN_OR_RETURN(os::PodNamespaces namespaces, OpenPod(core, pod));
  ASSIGN_OR_RETURN(const os::UserMappings mappings, PodUserMappings(ConfigOf(record)));
  if (!mappings.empty() && !namespaces.user.valid()) {
    return absl::FailedPreconditionError(
        absl::StrCat("start init of pod sandbox ", pod.id.str(), ": its user namespace is gone"));
  }
  shim::PodInitLaunch launch;
  launch.cgroups_path = record.init_cgroup();
  const auto join = [&](NamespaceType type, os::UniqueFd fd) {
    if (fd.valid()) launch.namespaces.emplace_back(type, std::move(fd));
  };
  join(NamespaceType::kUts, std::move(namespaces.uts));
  join(NamespaceType::kIpc, std::move(namespaces.ipc));
  join(NamespaceType::kNetwork, std::move(namespaces.net));
  join(NamespaceType::kUser, std::move(namespaces.user));
  return core.launcher.StartPodInit(std::move(launch), core.Turn());
}

absl::Status EndInit(Core& core, const Pod& pod, Deadline deadline) {
  const std::string& cgroup = pod.view()->record.init_cgroup();
  if (cgroup.empty()) return absl::OkStatus();
  core.shims->UnwatchInit(pod.id);
  RETURN_IF_ERROR_CTX(core.launcher.RemovePodInit(cgroup, deadline),
                      absl::StrCat("end init of pod sandbox ", pod.id.str()));
  return absl::OkStatus();
}

absl::Status WatchInit(Core& core, const Pod& pod) {
  const PodViewPtr view = pod.view();
  if (view->record.init_cgroup().empty()) return absl::OkStatus();
  if (view->record.boot_id() != core.facts.boot_id) {
    return absl::NotFoundError("pod init is of another boot");
  }
  return core.shims->WatchInit(pod.id, view->record.init_pid(), view->record.init_start_time());
}

absl::Status RecordInitEnd(Core& core, Pod& pod) {
  if (pod.view()->state != PodState::kReady) return absl::OkStatus();
  LogWarning("init of pod sandbox has ended", {{"pod", pod.id.str()}});
  return pod.cell.Update(core.store, [](SandboxRecord& r) {
    // A Stop may have come first.
    return StateOf(r) == PodState::kReady ? Advance(r, PodEvent::kStop) : absl::OkStatus();
  });
}

void OnInitEnd(Core& core, const SandboxId& id) {
  const PodPtr pod = core.pods.Find(id.str());
  if (pod == nullptr) return;
  LogFailure("queue end of pod init", id, core.exits.Submit([&core, pod] {
    LogFailure("record end of pod init", pod->id, RecordInitEnd(core, *pod));
  }));
}

absl::StatusOr<os::UniqueFd> OpenInitNamespace(const Core& core, const Pod& pod) {
  const PodViewPtr view = pod.view();
  absl::StatusOr<os::UniqueFd> fd =
      core.host->OpenPidNamespace(view->record.init_pid(), view->record.init_start_time());
  if (!absl::IsNotFound(fd.status())) return fd;
  return absl::FailedPreconditionError(
      absl::StrCat("join the PID namespace of pod sandbox ", pod.id.str(), ": its init has ended"));
}

}  // namespace berth::sandbox
