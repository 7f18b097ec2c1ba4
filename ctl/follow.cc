#include "ctl/follow.h"

#include <poll.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "ctl/log_follower.h"
#include "ctl/output.h"

namespace berth::ctl {
namespace {

// How often a silent container is asked whether it has ended: CRI has no call that waits for it.
constexpr absl::Duration kStatusInterval = absl::Milliseconds(200);

bool IsReadable(int fd) {
  pollfd p = {fd, POLLIN, 0};
  return fd >= 0 && poll(&p, 1, 0) > 0;
}

}  // namespace

absl::StatusOr<FollowResult> ShowLog(CriClient* client, const std::string& container,
                                     const FollowOptions& options) {
  ASSIGN_OR_RETURN(cri::ContainerStatus status, client->Status(container));
  if (status.log_path().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("show log of ", status.metadata().name(), ": its pod has no log directory"));
  }
  absl::Status written;
  LogDecoder decoder(
      [&written](LogStream stream, absl::string_view text) {
        if (!written.ok()) return;
        written = stream == LogStream::kStdout ? Print(text) : PrintError(text);
      },
      options.timestamps);
  ASSIGN_OR_RETURN(LogFollower follower, LogFollower::Open(status.log_path(), std::move(decoder)));
  for (;;) {
    // Asked before the last read: a container that has ended by then writes no more.
    const bool ended = status.state() == cri::CONTAINER_EXITED;
    RETURN_IF_ERROR(follower.Drain());
    RETURN_IF_ERROR(written);
    const bool interrupted = IsReadable(options.interrupt_fd);
    if (ended || !options.follow || interrupted) return FollowResult{status, interrupted};
    RETURN_IF_ERROR(follower.Wait(kStatusInterval, options.interrupt_fd));
    ASSIGN_OR_RETURN(status, client->Status(container));
  }
}

}  // namespace berth::ctl
