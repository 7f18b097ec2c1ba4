// Kubernetes resource quantities ("10M", "1.5Gi", "2e6"). Pure function.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::sandbox {

// Whole units, rounded up. InvalidArgument for what is no quantity, is negative or above 2^63-1.
absl::StatusOr<uint64_t> ParseQuantity(absl::string_view text);

}  // namespace berth::sandbox
