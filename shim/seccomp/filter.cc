#include "shim/seccomp/filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "shim/seccomp/profile_file.h"
#include "shim/seccomp/profile_names.h"

namespace berth::shim::seccomp {
namespace {

// The kernel looks at the flags before it reads the program: with none there is, a bad address is
// its answer to flags that it knows.
bool IsKnownToKernel(uint32_t flags) {
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, nullptr) == 0 || errno == EFAULT;
}

absl::Status CheckFlags(uint32_t flags) {
  for (uint32_t flag = 1; flag != 0 && flag <= flags; flag <<= 1) {
    if ((flags & flag) == 0) continue;
    // This one is nothing without a listener.
    const bool of_listener = flag == SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    if (IsKnownToKernel(flag | (of_listener ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0))) continue;
    return absl::InvalidArgumentError(absl::StrCat("flags: the running kernel does not know ",
                                                   flag == SECCOMP_FILTER_FLAG_NEW_LISTENER
                                                       ? "SECCOMP_FILTER_FLAG_NEW_LISTENER"
                                                       : FlagName(flag)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SeccompFilter> FilterOf(const Profile& profile, CompiledProfileCache* cache) {
  SeccompFilter filter;
  filter.flags = profile.flags;
  if (AsksListener(profile)) {
    filter.flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
    filter.listener_path = profile.listener_path;
    filter.listener_metadata = profile.listener_metadata;
  } else {
    filter.flags &= ~static_cast<uint32_t>(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
  }
  RETURN_IF_ERROR(CheckFlags(filter.flags));
  ASSIGN_OR_RETURN(filter.program, cache->Get(profile));
  return filter;
}

absl::StatusOr<SeccompFilter> FilterOfSpec(absl::string_view json, uint64_t bounding,
                                           CompiledProfileCache* cache) {
  if (json.empty()) return SeccompFilter{};
  const absl::StatusOr<Profile> profile = ParseProfile(json, ContextOf(bounding));
  if (!profile.ok()) {
    return absl::Status(profile.status().code(),
                        absl::StrCat("linux.seccomp.", profile.status().message()));
  }
  absl::StatusOr<SeccompFilter> filter = FilterOf(*profile, cache);
  return filter.ok() ? std::move(filter) : Annotate(filter.status(), "linux.seccomp");
}

}  // namespace berth::shim::seccomp
