// Stopping and removing a pod, for the verbs and the reconciler. Thread-safe; the caller holds the
// pod's slot.
#pragma once

#include "absl/status/status.h"
#include "sandbox/core.h"

namespace berth::sandbox {

// NOTREADY first, so that nothing is created in it any more; then its containers, side by side;
// then its init, its network and its namespaces. Idempotent.
absl::Status StopPod(Core& core, Pod& pod);
// All of the above and the rest, the record last. Idempotent.
absl::Status RemovePod(Core& core, Pod& pod);

}  // namespace berth::sandbox
