#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "sandbox/unimplemented.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {

absl::StatusOr<cri::ExecSyncResponse> ExecSync(Core& core, const cri::ExecSyncRequest& request,
                                               const Cancel& cancel) {
  ASSIGN_OR_RETURN(const ContainerPtr container, FindContainer(core, request.container_id()));
  if (request.cmd().empty() || request.cmd(0).empty()) return Invalid("cmd", "must not be empty");
  if (request.timeout() < 0) {
    return Invalid("timeout", absl::StrCat(request.timeout(), " is below 0"));
  }
  const ContainerState state = container->view()->state;
  if (state != ContainerState::kRunning) {
    return absl::FailedPreconditionError(
        absl::StrCat("exec in container ", container->id.str(), ": it is ", Name(state)));
  }
  shim::ExecOptions options;
  options.cancel = &cancel;
  options.args.assign(request.cmd().begin(), request.cmd().end());
  if (request.timeout() > 0) options.timeout = absl::Seconds(request.timeout());
  ASSIGN_OR_RETURN_CTX(shim::ExecOutput output, core.shims->ExecSync(container->id, options),
                       absl::StrCat("exec in container ", container->id.str()));
  cri::ExecSyncResponse response;
  response.set_stdout(std::move(output.standard_output));
  response.set_stderr(std::move(output.standard_error));
  response.set_exit_code(output.exit_code);
  return response;
}

}  // namespace berth::sandbox
