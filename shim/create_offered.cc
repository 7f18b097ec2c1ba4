#include <utility>

#include "absl/strings/str_cat.h"
#include "shim/create_plan.h"

namespace berth::shim {

absl::Status CheckOffered(const oci::Spec& spec, const Offered& offered) {
  if (!spec.has_process) return absl::InvalidArgumentError("process: is required");
  const oci::Linux& in = spec.linux_;
  const oci::Hooks& hooks = spec.hooks;
  const std::pair<bool, const char*> asked[] = {
      {!offered.hooks && !hooks.prestart.empty(), "hooks.prestart"},
      {!offered.hooks && !hooks.create_runtime.empty(), "hooks.createRuntime"},
      {!offered.hooks && !hooks.create_container.empty(), "hooks.createContainer"},
      {!offered.hooks && !hooks.start_container.empty(), "hooks.startContainer"},
      {!offered.hooks && !hooks.poststart.empty(), "hooks.poststart"},
      {!offered.hooks && !hooks.poststop.empty(), "hooks.poststop"},
      {in.intel_rdt.has_value(), "linux.intelRdt"},
      // The filter itself comes beside the spec, compiled.
      {!in.seccomp.empty() && !offered.seccomp, "linux.seccomp"},
  };
  for (const auto& [is_set, path] : asked) {
    if (is_set) return absl::UnimplementedError(absl::StrCat(path, ": is not offered"));
  }
  return absl::OkStatus();
}

}  // namespace berth::shim
