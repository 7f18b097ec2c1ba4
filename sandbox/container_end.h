// How a container ends: recording its exit, losing its shim, taking its remains away, and the steps
// of stopping and removing that several verbs share.
// Thread-safe.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "sandbox/core.h"

namespace berth::sandbox {

inline constexpr int kLostExitCode = 137;  // killed with SIGKILL
inline constexpr int kStartErrorExitCode = 128;
inline constexpr int kUnknownExitCode = 255;  // of before a reboot

// Commits EXITED, publishes it and has the remains taken away. A container that has ended already
// keeps its first exit.
absl::Status RecordExit(Core& core, const ContainerPtr& container, const shim::ExitRecord& exit);
absl::Status RecordExit(Core& core, const ContainerPtr& container, int exit_code,
                        absl::string_view reason, absl::string_view message);

// The shim is gone or does not answer: its exit record if there is one, else everything in the
// cgroup is killed and the exit has the reason "ShimLost". Waits up to kill_timeout.
absl::Status RecoverLost(Core& core, const ContainerPtr& container);

// SIGKILL now; returns when the container's end is recorded. Ended already: OK.
absl::Status StopNow(Core& core, const ContainerPtr& container);

// Takes away shim, run directory, cgroup and with them the container's mounts. Idempotent.
absl::Status Release(Core& core, Container& container);

// Everything, the record last. The caller holds the pod's slot. Idempotent.
absl::Status RemoveNow(Core& core, const ContainerPtr& container);

}  // namespace berth::sandbox
