// What a container uses, read from its cgroup's files and the background measurements of its
// writable layer; never through its shim. Thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "sandbox/core.h"

namespace berth::sandbox {

// Of a container in any state. One that has ended has no CPU and memory any more. `patience` is how
// long to wait for the first measurement of the writable layer.
// FailedPrecondition: its cgroup went away meanwhile.
absl::StatusOr<cri::ContainerStats> StatsOf(Core& core, const ContainerPtr& container,
                                            Deadline patience);

// Of the running containers that match, all within `patience`; one that ends meanwhile is left out.
std::vector<cri::ContainerStats> StatsOfRunning(Core& core, const cri::ContainerFilter& filter,
                                                Deadline patience);

// What the writable layer was last seen to hold; asks for a new measurement when that is old.
std::optional<LayerSample> LayerUsage(Core& core, const ContainerPtr& container, Deadline patience);

}  // namespace berth::sandbox
