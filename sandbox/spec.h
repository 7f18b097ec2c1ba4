// CRI -> OCI, the whole of it: one container's spec from the request, the pod and the image.
// Pure but for the user resolver given.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cri.pb.h"
#include "image/image_store.h"
#include "sandbox/core.h"
#include "sandbox/spec_mounts.h"
#include "sandbox/spec_security.h"
#include "shim/oci/spec.h"

namespace berth::sandbox {

struct SpecInputs {
  const cri::ContainerConfig& config;
  const cri::PodSandboxConfig& pod_config;
  const SandboxRecord& pod_record;
  std::string pod_dir;
  const image::Image& image;
  std::vector<std::string> lowers;  // absolute, topmost first
  std::string cgroups_path;
};

struct ContainerSpec {
  shim::oci::Spec spec;
  std::vector<TreeSource> trees;
  SeccompProfile seccomp;
  uint64_t capabilities = 0;  // the bounding set, for the seccomp profile
};

absl::StatusOr<ContainerSpec> BuildSpec(const Core& core, const SpecInputs& inputs);

}  // namespace berth::sandbox
