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

}  // namespace berth::shim
