// Paths below a container's root, by fd: symbolic links and ".." stay inside whatever the image
// says, and no path into the root is ever resolved from outside it.
// Part of shim/child. Functions return an fd or -errno.
#pragma once

#include <stdint.h>

namespace berth::shim::child {

enum class TargetKind { kDirectory, kFile };

// openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve); O_CLOEXEC is added.
int OpenInRoot(int root_fd, const char* path, int flags, uint64_t resolve = 0);

// The O_PATH fd of `path`; what is missing of it is made (directories 0755, a file 0644). A
// dangling symbolic link is followed and its target made, inside the root: images have
// /var/run -> /run without /run.
int MakeTarget(int root_fd, const char* path, TargetKind kind);

// The O_PATH fd of the directory that `path` lies in, made if missing. *name: its last component.
int MakeParent(int root_fd, const char* path, const char** name);

}  // namespace berth::shim::child
