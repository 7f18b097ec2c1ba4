// What a request must have, and what this version does not offer. Pure functions.
#pragma once

#include "absl/status/status.h"
#include "cri.pb.h"
#include "sandbox/runtime.h"

namespace berth::sandbox {

absl::Status ValidatePodSandbox(const cri::RunPodSandboxRequest& request,
                                const RuntimeOptions& options);

// `pod`: the configuration that the pod was made with.
absl::Status ValidateContainer(const cri::ContainerConfig& config,
                               const cri::PodSandboxConfig& pod);

}  // namespace berth::sandbox
