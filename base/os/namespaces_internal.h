// Steps that namespaces.cc and its neighbours share. Those of the first group change the calling
// thread's namespaces or root: they are for a private thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/os/mount.h"
#include "base/os/unique_fd.h"

namespace berth::os::internal {

// nosuid, nodev, noexec.
extern const uint64_t kPlainMount;

absl::Status Unshare(int flags);
// setns(2) into a mount namespace refuses a thread that shares its root and directory with others.
absl::Status EnterMountNamespace(int ns_fd);
absl::Status MakeAllPrivate();
absl::Status MakeDirAt(int dir_fd, const char* name, mode_t mode);
// A small tmpfs to be the root of a namespace, attached at `over`: pivot_root(2) wants a new root
// that is attached. What else is there must be opened before, or be reached through the result.
// `inodes` "0" = without limit.
absl::StatusOr<DetachedMount> AttachNewRoot(const std::string& over, const char* inodes);
// Makes `root` the root of the thread's mount namespace and drops all that was there before.
absl::Status PivotTo(int root_fd);
// A clone of everything mounted at `path`, cut off from the host: nothing propagates either way.
absl::StatusOr<DetachedMount> ClonePrivate(const std::string& path);

// True when `path` is a mounted namespace file.
absl::StatusOr<bool> IsPinned(const std::string& path);
// Mounts the namespace on the file dir_fd/name, which exists.
absl::Status BindNamespace(int ns_fd, int dir_fd, const std::string& name);
// Unmounts all that is mounted on the file and removes it. Idempotent; a plain file left by a kill
// is removed.
absl::Status UnpinFile(const std::string& path);

// Whether what is mounted at `path` (absolute, any links) lies on a shared mount: what is mounted
// there shows up elsewhere.
absl::StatusOr<bool> IsOnSharedMount(const std::string& path);

}  // namespace berth::os::internal
