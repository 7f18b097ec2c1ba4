// A seccomp profile from a file on the node ("Localhost"): the JSON form that the OCI runtime
// specification (config-linux.md, "Seccomp") and Docker's profiles share. From Docker's come
// archMap, includes and excludes, single names, and errno by name.
// Pure but for the read; thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shim/seccomp/profile.h"

namespace berth::shim::seccomp {

// What "includes" and "excludes" are held against.
struct ProfileContext {
  uint64_t bounding = 0;  // bit N = capability N of the process's bounding set
  int kernel_major = 0;
  int kernel_minor = 0;
};
// The running kernel's, from uname(2).
ProfileContext ContextOf(uint64_t bounding);

constexpr size_t kMaxProfileBytes = 1 << 20;

// At most kMaxProfileBytes of a regular file; symbolic links are followed. Nothing else is opened,
// so that no FIFO holds the caller up and no device is touched. InvalidArgument names the path.
absl::StatusOr<std::string> ReadProfileFile(const std::string& path);

// The host's own architecture is always there; of those listed, the ones whose programs this host
// does not run are left out. InvalidArgument begins with the place in the text
// ("syscalls[3].action: ...", "line 4, column 7: ..."). SCMP_ACT_NOTIFY needs listenerPath, and
// "write" allowed: the listener is handed over by it once the filter is there.
absl::StatusOr<Profile> ParseProfile(absl::string_view json, const ProfileContext& context);

}  // namespace berth::shim::seccomp
