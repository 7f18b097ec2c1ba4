#include "shim/front/seccomp.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "base/status_macros.h"
#include "shim/seccomp/compiled_profile_cache.h"
#include "shim/seccomp/filter.h"

namespace berth::shim::front {
namespace {

uint64_t BoundingOf(const oci::Spec& spec) {
  uint64_t mask = 0;
  for (const std::string& name : spec.process.capabilities.bounding) {
    // Names that nobody knows are told where the capabilities themselves are read.
    if (const absl::StatusOr<int> number = os::CapabilityNumber(name); number.ok()) {
      mask |= uint64_t{1} << *number;
    }
  }
  return mask;
}

}  // namespace

absl::StatusOr<SeccompFilter> CompileSeccomp(const Options& options, const oci::Spec& spec) {
  if (spec.linux_.seccomp.empty()) return SeccompFilter();
  RETURN_IF_ERROR(os::MakeDirs(options.root, 0700));
  ASSIGN_OR_RETURN(const std::unique_ptr<seccomp::CompiledProfileCache> cache,
                   seccomp::CompiledProfileCache::Open(absl::StrCat(options.root, "/.seccomp")));
  return seccomp::FilterOfSpec(spec.linux_.seccomp, BoundingOf(spec), cache.get());
}

}  // namespace berth::shim::front
