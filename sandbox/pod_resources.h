// What a pod has outside of this process: a log directory, a cgroup, pinned namespaces and files.
// Each Make has a Remove that is idempotent; all names come from the pod's record, which is written
// before any of them.
// Thread-safe; the callers hold the pod's operation slot.
#pragma once

#include "absl/status/status.h"
#include "base/clock.h"
#include "sandbox/core.h"

namespace berth::sandbox {

absl::Status MakeLogDirectory(const SandboxRecord& record);
absl::Status RemoveLogDirectory(const SandboxRecord& record);  // only what was made, only empty

absl::Status MakePodCgroup(Core& core, const SandboxRecord& record);
absl::Status RemovePodCgroup(Core& core, const SandboxRecord& record, Deadline deadline);

absl::Status PinPod(Core& core, const SandboxId& id, const SandboxRecord& record);
absl::Status UnpinPod(Core& core, const SandboxId& id);

// hosts, hostname and resolv.conf.
absl::Status WritePodFiles(Core& core, const SandboxId& id, const SandboxRecord& record);
absl::Status RemovePodFiles(Core& core, const SandboxId& id);

// Deletes the record and forgets the pod. Everything else of it is gone already.
absl::Status ForgetPod(Core& core, const Pod& pod);

}  // namespace berth::sandbox
