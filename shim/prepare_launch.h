// What of a launch is done while the set-up stage still is in the runtime's own namespaces, where
// the paths of a config.json mean what its author meant: namespaces are opened, a user namespace is
// made, file systems of devices are mounted (attached nowhere).
//
//   document -> PrepareNamespaces, PrepareMounts -> enter the holder namespace
//            -> PlanNamespaces -> BuildProcessPlan, BuildSetupPlan
//
// Needs /proc. Single-threaded caller. Descriptors that are opened lie in `held` until the first
// process is there. InvalidArgument names the JSON path.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "base/os/unique_fd.h"
#include "shim/launch_wire.h"

namespace berth::shim {

// CLONE_NEW*.
uint64_t NamespaceFlag(oci::NamespaceType type);

// Opens linux.namespaces[].path and makes the user namespace that is asked for without one; adds
// them to document.namespaces, and to the spec the mappings of a user namespace that is joined.
absl::Status PrepareNamespaces(LaunchDocument* document, std::vector<os::UniqueFd>* held);

// Clones the container's cgroups where no cgroup namespace shows them, and makes the file systems
// whose types name things of the host. `cgroup_v2_fd`: the container's v2 group, -1 = none.
absl::Status PrepareMounts(LaunchDocument* document, int cgroup_v2_fd,
                           std::vector<os::UniqueFd>* held);

}  // namespace berth::shim
