#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "sandbox/container_files.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {

absl::Status ReopenContainerLog(Core& core, const cri::ReopenContainerLogRequest& request) {
  ASSIGN_OR_RETURN(const ContainerPtr container, FindContainer(core, request.container_id()));
  const ContainerViewPtr view = container->view();
  const std::string context = absl::StrCat("reopen log of container ", container->id.str());
  if (view->state != ContainerState::kRunning) {
    return absl::FailedPreconditionError(absl::StrCat(context, ": it is ", Name(view->state)));
  }
  const PodPtr pod = core.pods.Find(view->record.sandbox_id());
  if (pod == nullptr || view->record.log_path().empty()) {
    return absl::FailedPreconditionError(absl::StrCat(context, ": it has no log"));
  }
  ASSIGN_OR_RETURN_CTX(
      os::UniqueFd log,
      OpenLog(ConfigOf(pod->view()->record).log_directory(), ConfigOf(view->record).log_path()),
      context);
  RETURN_IF_ERROR_CTX(core.shims->ReopenLog(container->id, std::move(log), core.Turn()), context);
  return absl::OkStatus();
}

}  // namespace berth::sandbox
