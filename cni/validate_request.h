// What the specification asks of an attachment's parameters, checked before anything is done.
// Pure function; thread-safe.
#pragma once

#include "absl/status/status.h"
#include "cni/network.h"

namespace berth::cni {

// InvalidArgument names the parameter.
absl::Status ValidateRequest(const AttachRequest& request);

}  // namespace berth::cni
