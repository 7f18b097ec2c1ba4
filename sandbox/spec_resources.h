// CRI -> OCI "linux.resources", oom_score_adj and rlimits. Pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "cri.pb.h"
#include "shim/oci/spec.h"

namespace berth::sandbox {

namespace cri = ::runtime::v1;

// Zero means unset. Without a swap limit of its own, a memory limit allows no swap beyond itself.
// InvalidArgument names the field; "unified" is for hosts with nothing but cgroup v2.
absl::StatusOr<os::CgroupLimits> ToCgroupLimits(const cri::LinuxContainerResources& resources,
                                                os::CgroupLayout layout = os::CgroupLayout::kV2);

// An update of `now`: what `asked` leaves zero or empty stays. Hugepages and unified: one by one.
cri::LinuxContainerResources MergeResources(const cri::LinuxContainerResources& now,
                                            const cri::LinuxContainerResources& asked);
// Of the limits of a merged set those that `asked` is about.
os::CgroupLimits OnlyAsked(os::CgroupLimits merged, const cri::LinuxContainerResources& asked);

// Clamped to what this host lets a child have; a clamp is logged.
absl::StatusOr<int> ToOomScoreAdj(const cri::LinuxContainerResources& resources, int lowest);

// This process's limit of a type ("RLIMIT_NOFILE"); InvalidArgument for a type that does not exist.
absl::StatusOr<shim::oci::Rlimit> OwnRlimit(const std::string& type);

// InvalidArgument naming both when a hard limit is above the daemon's own (`own`), which it could
// not raise, or below its soft limit.
absl::Status CheckRlimits(
    const std::vector<shim::oci::Rlimit>& limits,
    const std::function<absl::StatusOr<shim::oci::Rlimit>(const std::string&)>& own = OwnRlimit);

}  // namespace berth::sandbox
