// Standing in front of a process of ours until it ends: signals that come are passed on, its exit
// code becomes ours. One thread; Block comes before the process is made.
#pragma once

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "base/os/unique_fd.h"
#include "shim/terminal_relay.h"

namespace berth::shim::front {

class Foreground {
 public:
  // From now on signals wait to be passed on.
  static absl::StatusOr<Foreground> Block();
  // Reaps it, and whatever else becomes our child meanwhile. The value: its exit code, 128 + N
  // when signal N ended it. With a relay (or nullptr) its terminal is ours as long, and shows what
  // it has written to the end.
  absl::StatusOr<int> Await(pid_t pid, int pidfd, TerminalRelay* relay) const;

 private:
  explicit Foreground(os::UniqueFd signals) : signals_(std::move(signals)) {}
  absl::Status Wait(TerminalRelay* relay) const;
  void PassOn(int pidfd, const TerminalRelay* relay) const;

  os::UniqueFd signals_;
};

}  // namespace berth::shim::front
