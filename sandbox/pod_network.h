// A pod's network as CRI asks for it: what it means for the plugins (cni/network.h) and for the
// sysctls of the pod's namespaces.
// Thread-safe; callers of Attach and Detach hold the pod's operation slot.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "sandbox/core.h"

namespace berth::sandbox {

bool HasOwnNetwork(const cri::PodSandboxConfig& config);

// InvalidArgument: port_mappings, or a bandwidth annotation, that cannot be.
absl::Status CheckNetwork(const cri::PodSandboxConfig& config);
// InvalidArgument: one that is not of a namespace that the pod has to itself.
absl::Status CheckSysctls(const cri::PodSandboxConfig& config);
// Those of the request and what peers set where a pod has a network of its own.
std::map<std::string, std::string> PodSysctls(const cri::PodSandboxConfig& config);

// The plugins' ADD. The pod's addresses, the primary one first; none with host network.
absl::StatusOr<std::vector<std::string>> AttachPod(Core& core, const Pod& pod);
// The plugins' DEL, of what was attached or half-attached; with its own deadline, and also when the
// namespace is gone. Idempotent. On error what is owed stays recorded.
absl::Status DetachPod(Core& core, const Pod& pod);
// Something of this pod may still be attached.
bool OwesDetach(const Core& core, const Pod& pod);

}  // namespace berth::sandbox
