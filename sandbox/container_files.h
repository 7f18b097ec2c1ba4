// A container's directories, its log file, and the host sources of its mounts.
// Thread-safe: no state.
#pragma once

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/os/unique_fd.h"
#include "sandbox/core.h"
#include "sandbox/spec_mounts.h"

namespace berth::sandbox {

// <data>/containers/<id>/{upper,work}.
absl::Status MakeContainerDirs(Core& core, const ContainerId& id);

// Opens or makes the log (0640), never through a symbolic link that leaves `log_directory`.
// Both as in the request; an invalid fd when there is no log_path or no directory.
absl::StatusOr<os::UniqueFd> OpenLog(const std::string& log_directory, const std::string& log_path);
// What OpenLog opens, absolute; "" for none.
std::string LogFile(const std::string& log_directory, const std::string& log_path);

// Opens each source, here and now in the host's mount namespace. `shm` serves the one without path.
absl::StatusOr<std::vector<std::pair<int, os::UniqueFd>>> OpenTrees(
    Core& core, const std::vector<TreeSource>& sources, os::DetachedMount shm);

}  // namespace berth::sandbox
