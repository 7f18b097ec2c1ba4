// CRI -> OCI capabilities, masked and read-only paths, and the choice of seccomp and AppArmor
// profile. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cri.pb.h"
#include "sandbox/host_port.h"
#include "shim/oci/spec.h"

namespace berth::sandbox {

namespace cri = ::runtime::v1;

struct CapabilitySets {
  shim::oci::Capabilities names;
  uint64_t bounding = 0;  // the same as a mask, bit N = capability N
};
// The default fourteen, with "ALL" in add and drop, then single adds, then single drops. "All" is
// what `available` (the daemon's own bounding set) holds. Inheritable stays empty but for ambient
// ones (CVE-2022-24769). A name that no kernel has is InvalidArgument; one that this kernel lacks
// is ignored; an added one that the daemon itself may not have is FailedPrecondition.
absl::StatusOr<CapabilitySets> ToCapabilities(const cri::LinuxContainerSecurityContext& security,
                                              uint64_t available);

enum class SeccompChoice { kUnconfined, kRuntimeDefault, kLocalhost };
struct SeccompProfile {
  SeccompChoice choice = SeccompChoice::kUnconfined;
  std::string path;  // of a kLocalhost one: absolute, a file on this node
};
// Of the field that has it, the deprecated one where the other is not set. A privileged container
// has none.
absl::StatusOr<SeccompProfile> ToSeccomp(const cri::LinuxContainerSecurityContext& security);
// A pod's own, which confines nothing: no process of a pod runs code that is not Berth's.
absl::Status CheckSeccomp(const cri::LinuxSandboxSecurityContext& security);

// OK when what is asked for needs no AppArmor here. `has_apparmor`: of the kernel.
absl::Status CheckAppArmor(const cri::LinuxContainerSecurityContext& security, bool has_apparmor);

// kubelet's lists; none for a privileged container. An empty one means none in a pod with a user
// namespace (procMount: Unmasked) and the default one in others.
struct GuardedPaths {
  std::vector<std::string> masked;
  std::vector<std::string> readonly;
};
absl::StatusOr<GuardedPaths> ToGuardedPaths(const cri::LinuxContainerConfig& config,
                                            bool in_user_namespace);

// v1 device rules: all devices for a privileged container, else the harmless ones and mknod.
std::vector<os::CgroupLimits::DeviceRule> DeviceRules(bool privileged);

}  // namespace berth::sandbox
