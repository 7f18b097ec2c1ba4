// From a profile to what a process loads: the program, compiled once, and how it is loaded.
// Thread-safe.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shim/seccomp/compiled_profile_cache.h"
#include "shim/seccomp/profile.h"
#include "shim/seccomp_filter.h"

namespace berth::shim::seccomp {

// Compile()'s errors; InvalidArgument too where the running kernel does not know a flag.
absl::StatusOr<SeccompFilter> FilterOf(const Profile& profile, CompiledProfileCache* cache);

// `json`: Spec::linux_.seccomp; "" gives no filter. `bounding`: bit N = capability N of the
// process's bounding set. Errors begin with the JSON path, "linux.seccomp.syscalls[3].action: ...".
absl::StatusOr<SeccompFilter> FilterOfSpec(absl::string_view json, uint64_t bounding,
                                           CompiledProfileCache* cache);

}  // namespace berth::shim::seccomp
