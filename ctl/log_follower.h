// LogFollower: reads a container's log from its file, also while it grows and is rotated. It waits
// by inotify on the directory: a rotation makes another file of the same name.
// Not thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/os/unique_fd.h"
#include "ctl/cri_log.h"

namespace berth::ctl {

class LogFollower {
 public:
  // The file need not exist yet, its directory must.
  static absl::StatusOr<LogFollower> Open(const std::string& path, LogDecoder decoder);

  // Passes on what is there by now, a rotated file to its end first.
  absl::Status Drain();
  // Waits until the directory changes, `wake_fd` (or -1) is readable, or `limit` passed.
  absl::Status Wait(absl::Duration limit, int wake_fd) const;

 private:
  LogFollower(std::string path, os::UniqueFd inotify, LogDecoder decoder)
      : path_(std::move(path)), inotify_(std::move(inotify)), decoder_(std::move(decoder)) {}
  absl::Status ReadToEnd();
  // True when the path names another file than the one that is open.
  bool Rotated() const;

  std::string path_;
  os::UniqueFd inotify_;
  os::UniqueFd file_;
  LogDecoder decoder_;
};

}  // namespace berth::ctl
