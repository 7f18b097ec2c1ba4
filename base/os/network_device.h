// Moving a network device to another network namespace by rtnetlink(7).
// Blocking, not thread-safe: the calling thread is in the other namespace for a moment.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace berth::os {

// Moves device `name` of this thread's network namespace to the one of `netns_fd`, as `new_name`
// ("" = its own; "eth%d": the kernel takes the first free number), and brings it up there with the
// permanent global addresses that it had (config-linux.md, "Network Devices"). InvalidArgument:
// there is no such device, or the name is taken there.
absl::Status MoveNetworkDevice(const std::string& name, int netns_fd, const std::string& new_name);

bool HasNetworkDevice(const std::string& name);

}  // namespace berth::os
