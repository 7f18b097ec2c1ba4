// ContainerPlan: all that CreateContainer decides before it does anything.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sandbox/core.h"
#include "sandbox/spec.h"

namespace berth::sandbox {

struct ContainerPlan {
  ContainerRecord record;  // state CREATING, every name that will be used
  ContainerSpec built;
  std::vector<Digest> layers;       // diffIDs, base first
  std::vector<std::string> lowers;  // relative to the data directory, topmost first
  shim::SeccompFilter seccomp;
  std::string log_directory;
  std::string log_path;
  bool keep_stdin_open = false;
};

// No side effects. NotFound: the image is not here. InvalidArgument, Unimplemented: the request.
// Precondition: the request passed ValidateContainer.
absl::StatusOr<ContainerPlan> PlanContainer(Core& core, const ContainerId& id, const Pod& pod,
                                            const cri::ContainerConfig& config);

}  // namespace berth::sandbox
