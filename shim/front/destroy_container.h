// The end of a container: what `delete` does, and `run` once the container has ended.
#pragma once

#include "absl/status/status.h"
#include "base/os/cgroup.h"
#include "shim/front/container_record.h"
#include "shim/front/state_dir.h"
#include "shim/oci/spec.h"

namespace berth::shim::front {

// FailedPrecondition: there are processes in it. It is another container's.
absl::Status CheckUnused(const os::CgroupHost& cgroups, const std::string& group);
// Makes the record's group and gives it its limits. What it made is the caller's to destroy.
absl::Status MakeGroup(const os::CgroupHost& cgroups, const ContainerRecord& record,
                       const os::CgroupLimits& limits);
// The topmost directory of `group` that is not there yet, or is berth-oci's own.
std::string TopmostMissing(const os::CgroupHost& cgroups, const std::string& group);

// Kills what is left in the group, removes the group and its parents that were made for it, and
// last the state directory, whose name is what the rest is found by. Idempotent.
absl::Status DestroyContainer(const os::CgroupHost& cgroups, const ContainerRecord& record,
                              StateDir* dir);

// After that: poststop hooks; their failures are logged.
void RunPoststopHooks(const ContainerRecord& record, const oci::Hooks& hooks);

}  // namespace berth::shim::front
