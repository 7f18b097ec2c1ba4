// Mounts by file descriptor: open_tree(2), fsopen(2), mount_setattr(2), move_mount(2).
// Thread-safe: no state. The calling thread's mount namespace is the one that counts.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/os/unique_fd.h"

namespace berth::os {

// A mount attached nowhere: closing the fd unmounts it (a handle, see STYLE section 4).
using DetachedMount = UniqueFd;

// Clones the mount at `path` (dir_fd-relative, symbolic links followed; "" = dir_fd itself, which
// may be a namespace file) as a detached bind mount. It stays in the peer group of a shared mount
// until SetMountAttributes says otherwise.
absl::StatusOr<DetachedMount> CloneTree(int dir_fd, const std::string& path, bool recursive);

// A new file system instance: fsopen, one fsconfig a pair (an empty value sets a flag), fsmount
// with MOUNT_ATTR_* `attributes`. Errors carry the kernel's own log line when it wrote one.
absl::StatusOr<DetachedMount> NewMount(
    const std::string& fs_type, const std::vector<std::pair<std::string, std::string>>& options,
    uint64_t attributes);

// mount_setattr: sets `set` and clears `clear` (MOUNT_ATTR_*), `propagation` MS_* or 0.
absl::Status SetMountAttributes(int mount_fd, uint64_t set, uint64_t clear, uint64_t propagation,
                                bool recursive);

// mount_setattr(MOUNT_ATTR_IDMAP): what lies in the tree, which is attached nowhere yet, is seen
// through the maps of a user namespace. EINVAL: the file system does not offer it.
absl::Status SetIdMapping(int mount_fd, int user_fd, bool recursive);

// move_mount(2) onto dir_fd-relative `path`; "" = dir_fd itself. Links are not followed at the end.
absl::Status AttachMount(int mount_fd, int dir_fd, const std::string& path);

struct MountEntry {
  uint64_t id = 0;
  uint64_t parent = 0;
  std::string root;
  std::string target;
  std::string options;
  std::string fs_type;
  std::string source;
  std::string super_options;
  bool is_shared = false;  // member of a peer group: what is mounted on it shows up elsewhere
  bool is_slave = false;   // what is mounted on its master shows up here
};
// Parses mountinfo text (proc(5)); octal escapes are decoded.
absl::StatusOr<std::vector<MountEntry>> ParseMountInfo(absl::string_view text);
// The mount that `path` lies on (symbolic links followed), of the calling thread's mount namespace.
absl::StatusOr<MountEntry> MountOf(const std::string& path);

}  // namespace berth::os
