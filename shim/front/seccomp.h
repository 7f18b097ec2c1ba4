// linux.seccomp of a spec, compiled once for all containers: <root>/.seccomp holds what was
// compiled before (docs/formats/seccomp-cache.md).
#pragma once

#include "absl/status/statusor.h"
#include "shim/front/options.h"
#include "shim/oci/spec.h"
#include "shim/seccomp_filter.h"

namespace berth::shim::front {

// An empty program for a spec without. InvalidArgument: "linux.seccomp.syscalls[3]...: ...".
absl::StatusOr<SeccompFilter> CompileSeccomp(const Options& options, const oci::Spec& spec);

}  // namespace berth::shim::front
