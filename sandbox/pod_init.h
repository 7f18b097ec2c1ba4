// The init of a pod that shares its PID namespace: PID 1 for the pod's containers, a process of
// berth-shim in a cgroup leaf below the pod's. The record says where it is to be before it is made,
// and who it is with the commit that makes the pod READY.
// Thread-safe; callers of Start and End hold the pod's operation slot.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/os/unique_fd.h"
#include "sandbox/core.h"

namespace berth::sandbox {

// Containers of this configuration join the pod's PID namespace. One that says nothing about
// namespaces has the pod's way.
bool SharesPodPid(const cri::ContainerConfig& config, const cri::PodSandboxConfig& pod);

// For the record: "" when the pod shares none.
std::string InitCgroup(const cri::PodSandboxConfig& config, const std::string& cgroup_parent,
                       const SandboxId& id);

// Starts it where the record has a cgroup for it. Precondition: the pod's namespaces are pinned.
absl::StatusOr<shim::PodInit> StartInit(Core& core, const Pod& pod);
// Kills it, and with it what is left in its PID namespace. Idempotent; absent is fine.
absl::Status EndInit(Core& core, const Pod& pod, Deadline deadline);

// From now on its end makes the pod NOTREADY. NotFound: it has ended, or is of another boot.
absl::Status WatchInit(Core& core, const Pod& pod);
// The pod is NOTREADY from now on: its containers of that namespace died with the init.
absl::Status RecordInitEnd(Core& core, Pod& pod);
// What the watch reports. Never blocks.
void OnInitEnd(Core& core, const SandboxId& id);

// For a container to join. FailedPrecondition: the init has ended.
absl::StatusOr<os::UniqueFd> OpenInitNamespace(const Core& core, const Pod& pod);

}  // namespace berth::sandbox
