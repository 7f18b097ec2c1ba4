// Usage as CRI's messages. Pure functions.
#pragma once

#include <vector>

#include "base/os/cgroup_stats.h"
#include "base/os/interface_counters.h"
#include "cri.pb.h"
#include "sandbox/usage_cell.h"

namespace berth::sandbox {

namespace cri = ::runtime::v1;

// What this host does not count is left out. `wall` and `monotonic`: nanoseconds, of the reading.
cri::CpuUsage ToCpuUsage(const os::CgroupStats& stats, UsageCell& cell, int64_t wall,
                         int64_t monotonic);
cri::MemoryUsage ToMemoryUsage(const os::CgroupStats& stats, int64_t wall);
cri::SwapUsage ToSwapUsage(const os::CgroupStats& stats, int64_t wall);
cri::IoUsage ToIoUsage(const os::CgroupStats& stats, int64_t wall);
cri::ProcessUsage ToProcessUsage(const os::CgroupStats& stats, int64_t wall);

// eth0 is the default interface, or the first where there is none of that name.
cri::NetworkUsage ToNetworkUsage(const std::vector<os::InterfaceCounters>& interfaces,
                                 int64_t wall);

}  // namespace berth::sandbox
