// FileLock: one process at a time, by flock(2) on a file that stays. Released by the destructor or
// by the process's end; not inherited by programs it starts. Move-only.
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/os/unique_fd.h"

namespace berth::os {

class [[nodiscard]] FileLock {
 public:
  // Makes the file (0600) when absent and writes this process's pid to it, for people. Does not
  // wait: FailedPrecondition, naming the path and the holder's pid when it can be read, when it is
  // held.
  static absl::StatusOr<FileLock> Acquire(const std::string& path);

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace berth::os
