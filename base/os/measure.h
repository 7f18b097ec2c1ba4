// Measuring a tree in the background, where the walk must be able to end early. See
// os::MeasureTree. Thread-safe.
#pragma once

#include <atomic>
#include <string>

#include "absl/status/statusor.h"
#include "base/os/file.h"

namespace berth::os {

// MeasureTree, but Cancelled as soon as `stop` is set.
absl::StatusOr<TreeUsage> MeasureTreeUnless(int dir_fd, const std::string& name,
                                            const std::atomic<bool>& stop);

// Lowest CPU and disk priority for the calling thread from now on. What the host refuses is left.
void YieldToOthers();

}  // namespace berth::os
