// What the create stage does for a container in a user namespace with the host's privileges,
// because nobody inside could: the mount namespace it works in meanwhile, device nodes to bind.
// Single-threaded caller.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/os/mount.h"

namespace berth::shim {

// Into a private copy of this mount namespace. A sysfs stands at `directory` in it: whoever mounts
// one in a user namespace must have one in sight (so for proc, which is there).
absl::Status EnterUserStage(const std::string& directory);
// Back to `mount_ns_fd`. What was attached in the copy goes with the last process in it.
absl::Status LeaveUserStage(int mount_ns_fd);

// The host's device nodes as detached mounts, one for each path below /dev. A node cannot be made
// inside a user namespace.
class HostDevices {
 public:
  // `directory` is covered meanwhile.
  static absl::StatusOr<HostDevices> Open(const std::string& directory);
  // InvalidArgument: the host has no such node, or another one there.
  absl::StatusOr<os::DetachedMount> Clone(const std::string& path, mode_t type, dev_t number) const;

 private:
  explicit HostDevices(os::DetachedMount devtmpfs) : devtmpfs_(std::move(devtmpfs)) {}

  os::DetachedMount devtmpfs_;
};

}  // namespace berth::shim
