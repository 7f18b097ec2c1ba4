// DirectoryWatch: tells whether what is in a directory may have changed, by inotify, without a
// thread. The directory need not exist yet, and may be replaced: its ancestors are watched for the
// next name on the way to it. What a symbolic link in the directory points to is not watched.
// Not thread-safe.
#pragma once

#include <map>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "base/os/unique_fd.h"

namespace berth::os {

class DirectoryWatch {
 public:
  // `path` is absolute.
  static absl::StatusOr<DirectoryWatch> Open(const std::string& path);

  // True when something may have changed since the last call that said so; the watches are then in
  // place again, so that a read after this call misses nothing. One read(2) when nothing happened.
  absl::StatusOr<bool> Changed();

 private:
  DirectoryWatch(std::string path, UniqueFd inotify)
      : path_(std::move(path)), inotify_(std::move(inotify)) {}

  absl::Status Arm();
  absl::Status Add(const std::string& directory, const std::string& name, bool* exists);
  absl::StatusOr<bool> Drain();

  std::string path_;
  UniqueFd inotify_;
  // Watch descriptor -> entry names that matter in that directory; "" is every name.
  std::map<int, std::set<std::string>> watches_;
};

}  // namespace berth::os
