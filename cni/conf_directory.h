// The directory of network configurations, as node installers fill it: of the files *.conflist,
// *.conf and *.json the first by name that is good is the node's network.
// Thread-safe. Reads the disk only after the directory changed.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/os/directory_watch.h"
#include "cni/conf_list.h"

namespace berth::cni {

class ConfDirectory {
 public:
  // `path` is absolute and need not exist.
  explicit ConfDirectory(std::string path);

  // FailedPrecondition: there is none, with what is wrong with each file. A file that is skipped
  // because it is broken is logged once.
  absl::StatusOr<std::shared_ptr<const ConfList>> Current();

 private:
  bool Changed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Load() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string path_;
  // Held over the reading of some small local files, when they changed.
  Mutex mu_;
  std::optional<os::DirectoryWatch> watch_ ABSL_GUARDED_BY(mu_);  // none: the kernel has no more
  bool loaded_ ABSL_GUARDED_BY(mu_) = false;
  absl::StatusOr<std::shared_ptr<const ConfList>> current_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> told_ ABSL_GUARDED_BY(mu_);  // complaints about files, as logged
};

}  // namespace berth::cni
