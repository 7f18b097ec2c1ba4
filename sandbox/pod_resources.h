// What a pod has outside of this process: a log directory, a cgroup, pinned namespaces and files.
// Each Make has a Remove that is idempotent; all names come from the pod's record, which is written
// before any of them.
// Thread-safe; the callers hold the pod's operation slot.
#pragma once

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "sandbox/core.h"

namespace berth::sandbox {

absl::Status MakeLogDirectory(const SandboxRecord& record);
absl::Status RemoveLogDirectory(const SandboxRecord& record);  // only what was made, only empty

absl::Status MakePodCgroup(Core& core, const SandboxRecord& record);
absl::Status RemovePodCgroup(Core& core, const SandboxRecord& record, Deadline deadline);

absl::Status PinPod(Core& core, const Pod& pod);
absl::Status UnpinPod(Core& core, const Pod& pod);
// What a process of the pod joins. NotFound when nothing is pinned.
absl::StatusOr<os::PodNamespaces> OpenPod(const Core& core, const Pod& pod);

// hostname and resolv.conf, which need no network; then hosts, which names the pod's addresses.
absl::Status WritePodFiles(Core& core, const SandboxId& id, const SandboxRecord& record);
absl::Status WriteHostsFile(Core& core, const SandboxId& id, const SandboxRecord& record,
                            const std::vector<std::string>& ips);
absl::Status RemovePodFiles(Core& core, const SandboxId& id);

// Deletes the record and forgets the pod. Everything else of it is gone already.
absl::Status ForgetPod(Core& core, const Pod& pod);

}  // namespace berth::sandbox
