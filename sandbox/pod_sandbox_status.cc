#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "sandbox/verbs.h"

namespace berth::sandbox {

absl::StatusOr<cri::PodSandboxStatusResponse> PodSandboxStatus(
    const Core& core, const cri::PodSandboxStatusRequest& request) {
  ASSIGN_OR_RETURN(const PodPtr pod, FindPod(core, request.pod_sandbox_id()));
  cri::PodSandboxStatusResponse response;
  // The time is read first: what the statuses show is at least as new.
  response.set_timestamp(WallNanos());
  const PodViewPtr view = pod->view();
  *response.mutable_status() = view->status;
  for (const ContainerPtr& container : ContainersOf(core.containers, pod->id)) {
    const ContainerViewPtr of_container = container->view();
    if (of_container->listed()) *response.add_containers_statuses() = of_container->status;
  }
  if (!request.verbose()) return response;
  const nlohmann::json info = {
      // Of its init; a pod that shares no PID namespace is no process.
      {"pid", view->state == PodState::kReady ? view->record.init_pid() : 0},
      {"state", std::string(Name(view->state))},
      {"hostname", view->record.hostname()},
      {"cgroupParent", view->record.cgroup_parent()},
      {"networkNamespace", view->record.network_path()},
      {"pending",
       std::vector<std::string>(view->record.pending().begin(), view->record.pending().end())},
  };
  (*response.mutable_info())["info"] =
      info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return response;
}

}  // namespace berth::sandbox
