// Files and directories by fd. Every open is CLOEXEC; every read is bounded.
// Thread-safe: no state.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/os/unique_fd.h"

namespace berth::os {

// openat(2) with O_CLOEXEC added.
absl::StatusOr<UniqueFd> OpenAt(int dir_fd, const std::string& path, int flags, mode_t mode = 0);
inline absl::StatusOr<UniqueFd> Open(const std::string& path, int flags, mode_t mode = 0) {
  return OpenAt(-100 /* AT_FDCWD */, path, flags, mode);
}

// openat2(2) with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS: `path` cannot leave `root_fd`, symbolic
// links and ".." included. Retries EAGAIN (a racing rename) a bounded number of times.
absl::StatusOr<UniqueFd> OpenInRoot(int root_fd, const std::string& path, int flags,
                                    mode_t mode = 0);

// Reads to the end. ResourceExhausted when there are more than `limit` bytes.
absl::StatusOr<std::string> ReadAll(int fd, size_t limit);
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit);
absl::StatusOr<std::string> ReadFileAt(int dir_fd, const std::string& path, size_t limit);

// write(2) until all is written.
absl::Status WriteAll(int fd, absl::string_view data);
// For kernel files (cgroup, procfs): open O_WRONLY, one write, no create.
absl::Status WriteKernelFile(int dir_fd, const std::string& path, absl::string_view data);

enum class Durability { kProcessCrash, kPowerLoss };
// Temporary file beside `name` (no '/' in it), then rename; with kPowerLoss file and directory are
// fsynced.
absl::Status WriteFileAtomic(int dir_fd, const std::string& name, absl::string_view data,
                             mode_t mode, Durability durability);

// mkdir that accepts an existing directory (never a symbolic link) and sets its mode.
absl::Status EnsureDir(const std::string& path, mode_t mode);
// mkdir -p: only the missing parts get `mode`, whatever the umask. Links to directories are
// followed.
absl::Status MakeDirs(const std::string& path, mode_t mode);

// Entry names without "." and "..", sorted.
absl::StatusOr<std::vector<std::string>> ListDir(int dir_fd, const std::string& path);

// Names of the directories in an open directory (read from its start), in no order.
absl::StatusOr<std::vector<std::string>> ListSubdirectories(int dir_fd);

// rm -rf below a directory fd; never follows a symbolic link or crosses to another mount (an
// error). An absent entry is success. Any depth: no recursion, few fds.
absl::Status RemoveTree(int dir_fd, const std::string& name);

struct TreeUsage {
  uint64_t bytes = 0;  // allocated, 512-byte blocks times 512
  uint64_t inodes = 0;
};
// Walks a directory, each hard-linked inode once, without entering mounts. It may change meanwhile:
// what disappears is not counted; Aborted when a deep directory is moved away under the walk.
absl::StatusOr<TreeUsage> MeasureTree(int dir_fd, const std::string& name);

// A plain memfd with `data` in it, offset 0.
absl::StatusOr<UniqueFd> MemFdWith(const std::string& name, absl::string_view data);

// /proc/sys/kernel/random/boot_id without the newline.
absl::StatusOr<std::string> BootId();

}  // namespace berth::os
