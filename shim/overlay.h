// A container's root: an overlay of its image's layers, as a mount that is attached nowhere yet.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/os/mount.h"
#include "shim/launcher.h"

namespace berth::shim {

// Paths of `root` are below `data_dir`. Changes this process's working directory to the layers'
// common parent: relative paths keep the option string of older kernels short.
absl::StatusOr<os::DetachedMount> MakeOverlay(const std::string& data_dir, const OverlayRoot& root);

struct MappedRoot {
  int user_fd;  // the container's user namespace
  uid_t uid;    // of its root, as the host counts
  gid_t gid;
};
// The same for a user namespace, made outside of it: layers are seen through its mapping, so that
// their files are its root's, while upper and work are not and belong to its root. (An overlay that
// is made inside fails, or loses opaque directories.) The layers are attached at /root, where
// kernels before 6.15 want them while they are put together: the caller is in a mount namespace of
// its own.
absl::StatusOr<os::DetachedMount> MakeMappedOverlay(const std::string& data_dir,
                                                    const OverlayRoot& root,
                                                    const MappedRoot& mapped);

}  // namespace berth::shim
