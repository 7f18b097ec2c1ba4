// The agent of a seccomp filter that notifies, from the create stage's side: found before anything
// is made, told when the first process has its listener. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/os/unique_fd.h"
#include "shim/launch_wire.h"

namespace berth::shim {

// What ListenerHandover::state is for this container; `status` as in runtime.md, "State".
std::string ProcessStateHead(const LaunchDocument& document, absl::string_view status);

class ListenerAgent {
 public:
  // None where the filter needs none. InvalidArgument, naming linux.seccomp.listenerPath: there is
  // no socket. Precondition: the caller sees the host's mounts.
  static absl::StatusOr<ListenerAgent> Find(const LaunchDocument& document);

  // The directory of its socket, -1 = there is no agent.
  int directory() const { return directory_.get(); }
  // `listener`: the descriptor's number in the process.
  absl::Status HandOver(pid_t pid, int pidfd, int listener) const;

 private:
  os::UniqueFd directory_;
  std::string path_;
  std::string state_;
};

}  // namespace berth::shim
