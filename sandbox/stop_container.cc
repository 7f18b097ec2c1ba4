#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/container_end.h"
#include "sandbox/unimplemented.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

// A shim answers at once or not at all.
constexpr absl::Duration kShimAnswer = absl::Seconds(5);

bool Ended(const ContainerView& view) { return view.ended(); }

// The stop signal, once. With nobody there to take it, the grace is over.
void SendStopSignal(Core& core, Container& container) {
  const int signo = container.view()->record.stop_signo();
  const absl::Status sent = core.shims->Signal(container.id, signo, Deadline::After(kShimAnswer));
  if (sent.ok()) return;
  LogWarning("stop signal not delivered, killing",
             {{"container", container.id.str()}, {"signal", signo}, {"error", sent.ToString()}});
  container.stop.KillNow();
}

// Until it ended (true) or its grace is over (false). A call that shortens the grace is noticed.
bool WaitGrace(Container& container) {
  for (;;) {
    const int seen = container.stop.generation();
    const Deadline kill_at = container.stop.kill_at();
    if (kill_at.Expired()) return container.view()->ended();
    (void)container.cell.WaitUntil(  // both causes are looked at again
        [&](const ContainerView& view) {
          return view.ended() || container.stop.generation() != seen;
        },
        kill_at);
    if (container.view()->ended()) return true;
  }
}

absl::Status Kill(Core& core, const ContainerPtr& container) {
  const absl::Status killed = core.shims->KillAll(container->id, Deadline::After(kShimAnswer));
  BERTH_FAILPOINT(stop_container_after_kill);
  if (killed.ok() && container->cell.WaitUntil(Ended, core.KillDeadline())) return absl::OkStatus();
  return RecoverLost(core, container);
}

absl::Status Stop(Core& core, const ContainerPtr& container, absl::Duration grace) {
  if (container->view()->ended()) return absl::OkStatus();
  // Before its start there is nobody to hear a signal.
  if (container->view()->state != ContainerState::kRunning) grace = absl::ZeroDuration();
  const bool send = container->stop.Join(grace);
  container->cell.Wake();
  if (send) SendStopSignal(core, *container);
  BERTH_FAILPOINT(stop_container_after_signal);
  if (WaitGrace(*container)) return absl::OkStatus();
  return Kill(core, container);
}

}  // namespace

absl::Status StopNow(Core& core, const ContainerPtr& container) {
  return Stop(core, container, absl::ZeroDuration());
}

absl::Status StopContainer(Core& core, const cri::StopContainerRequest& request) {
  if (request.container_id().empty()) return Invalid("container_id", "must not be empty");
  if (request.timeout() < 0) {
    return Invalid("timeout", absl::StrCat(request.timeout(), " is below 0"));
  }
  const absl::StatusOr<ContainerPtr> container = FindContainer(core, request.container_id());
  if (!container.ok()) return absl::OkStatus();  // stopped and removed long ago
  return Stop(core, *container, absl::Seconds(request.timeout()));
}

}  // namespace berth::sandbox
