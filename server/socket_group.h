// The group that may use the CRI socket. Thread-safe: no state.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"

namespace berth::server {

// "" is root's group; a number is taken as it is, a name is looked up. InvalidArgument: no such
// group.
absl::StatusOr<gid_t> ResolveGroup(const std::string& name);

}  // namespace berth::server
