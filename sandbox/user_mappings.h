// A pod's user namespace as CRI asks for it. Pure functions; thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "base/os/user_namespace.h"
#include "cri.pb.h"

namespace berth::sandbox {

namespace cri = ::runtime::v1;

// Empty without a user namespace. InvalidArgument for what CRI does not allow: kubelet sends one
// mapping of user ids and one of group ids, of the same length, that map the container's root.
absl::StatusOr<os::UserMappings> ToUserMappings(const cri::NamespaceOption& options);
absl::StatusOr<os::UserMappings> PodUserMappings(const cri::PodSandboxConfig& config);

}  // namespace berth::sandbox
