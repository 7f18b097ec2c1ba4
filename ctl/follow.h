// Shows a container's log until it has ended. Thread-safe: no state.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "ctl/clients.h"

namespace berth::ctl {

struct FollowOptions {
  bool timestamps = false;
  bool follow = false;    // false: what is there now
  int interrupt_fd = -1;  // a signalfd: the wait ends early when it is readable
};

struct FollowResult {
  cri::ContainerStatus status;
  bool interrupted = false;
};

// FailedPrecondition when the container has no log.
absl::StatusOr<FollowResult> ShowLog(CriClient* client, const std::string& container,
                                     const FollowOptions& options);

}  // namespace berth::ctl
