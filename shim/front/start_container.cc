#include "shim/front/start_container.h"

#include "base/log.h"
#include "base/status_macros.h"
#include "shim/front/destroy_container.h"
#include "shim/front/hooks.h"

namespace berth::shim::front {
namespace {

void Destroy(const StartRequest& request) {
  const absl::Status destroyed = DestroyContainer(*request.cgroups, *request.record, request.dir);
  if (!destroyed.ok()) LogWarning(destroyed.message());
  RunPoststopHooks(*request.record, *request.hooks);
}

}  // namespace

absl::Status StartContainer(const StartRequest& request) {
  RETURN_IF_ERROR(OpenGate(request.gate_write_fd));
  absl::Status started = AwaitExec(request.report_read_fd);
  request.dir->RemoveGate();
  // Only a startContainer hook's failure has this code (shim/create_process.h).
  if (absl::IsFailedPrecondition(started) || (!started.ok() && request.destroy)) Destroy(request);
  RETURN_IF_ERROR(started);
  if (request.hooks->poststart.empty()) return absl::OkStatus();
  const std::string state =
      OciState(*request.record, Status::kRunning).With(request.record->process.pid);
  started = RunHooks("poststart", request.hooks->poststart, state);
  if (!started.ok()) Destroy(request);
  return started;
}

}  // namespace berth::shim::front
