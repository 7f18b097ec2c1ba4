// CRI's deprecated fields: older clients still send them, so they are read where the newer one is
// not set. Pure functions.
#pragma once

#include <string>

#include "cri.pb.h"

namespace berth::sandbox {

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

template <typename SecurityContext>
const std::string& DeprecatedSeccompPath(const SecurityContext& security) {
  return security.seccomp_profile_path();
}
inline const std::string& DeprecatedAppArmorProfile(
    const ::runtime::v1::LinuxContainerSecurityContext& security) {
  return security.apparmor_profile();
}

#pragma GCC diagnostic pop

}  // namespace berth::sandbox
