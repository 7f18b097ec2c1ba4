// A result of one version of the specification as one of another: for a chain whose plugins answer
// in different ones. Private to cni/: JSON travels as text.
// Pure functions; thread-safe.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace berth::cni {

// Preconditions: `result` is a JSON object in which ParseResult found nothing wrong; both versions
// are known (VersionIndex >= 0).
std::string ConvertResult(absl::string_view result, absl::string_view from, absl::string_view to);

}  // namespace berth::cni
