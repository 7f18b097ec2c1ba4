// Sysctls by name. Those of a namespace are written by a thread that is in it.
// Thread-safe: no state.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace berth::os {

// "net.ipv4.conf.eth0/1.forwarding" or "net/ipv4/conf/eth0.1/forwarding" -> the path below
// /proc/sys, as sysctl(8) reads names: the first separator is the one that separates.
// InvalidArgument for what cannot be a name.
absl::StatusOr<std::string> SysctlPath(const std::string& name);

// InvalidArgument names the sysctl and the kernel's reason: it is not there, not to be written
// here, or does not take this value.
absl::Status WriteSysctl(const std::string& name, const std::string& value);

}  // namespace berth::os
