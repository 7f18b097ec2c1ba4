// Signals by their names, as kill(1) takes them. Pure; thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::shim::front {

// "9", "KILL", "SIGKILL", "sigkill", "RTMIN+3". InvalidArgument.
absl::StatusOr<int> SignalNumber(absl::string_view name);

}  // namespace berth::shim::front
