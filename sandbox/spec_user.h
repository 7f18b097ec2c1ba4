// CRI -> OCI "process.user": which user a container runs as. Pure but for the resolver given.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cri.pb.h"
#include "sandbox/core.h"
#include "shim/oci/spec.h"

namespace berth::sandbox {

struct ContainerUser {
  shim::oci::User user;  // additional_gids: the primary group first, then the others, each once
  std::string home;
};

// run_as_user or run_as_username (not both), else the image's USER; run_as_group needs one of the
// two. `lowers`: absolute layer directories, topmost first.
absl::StatusOr<ContainerUser> ResolveContainerUser(
    const cri::LinuxContainerSecurityContext& security, const image::ImageConfig& image,
    const std::vector<std::string>& lowers, const UserResolver& resolve);

}  // namespace berth::sandbox
