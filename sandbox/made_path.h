// Directories that a verb makes on somebody else's ground (log directories): what was missing is
// written down before, so that an undo removes that and nothing more.
// Thread-safe: no state.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace berth::sandbox {

// The topmost part of an absolute path that does not exist; "" when all of it does.
std::string TopmostMissing(const std::string& path);

// Removes `leaf` and its parents up to `top`, as far as they are empty (an empty regular file
// counts as such). "" as top: nothing. Absent is success.
absl::Status RemoveMade(const std::string& leaf, const std::string& top);

// The parent of a clean absolute path.
std::string ParentOf(const std::string& path);

}  // namespace berth::sandbox
