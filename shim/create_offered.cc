#include <utility>

#include "absl/strings/str_cat.h"
#include "shim/create_plan.h"

namespace berth::shim {

absl::Status CheckOffered(const oci::Spec& spec, bool has_seccomp) {
  if (!spec.has_process) return absl::InvalidArgumentError("process: is required");
  const oci::Linux& in = spec.linux_;
  const oci::Hooks& hooks = spec.hooks;
  const std::pair<bool, const char*> asked[] = {
      {!hooks.prestart.empty(), "hooks.prestart"},
      {!hooks.create_runtime.empty(), "hooks.createRuntime"},
      {!hooks.create_container.empty(), "hooks.createContainer"},
      {!hooks.start_container.empty(), "hooks.startContainer"},
      {!hooks.poststart.empty(), "hooks.poststart"},
      {!hooks.poststop.empty(), "hooks.poststop"},
      {in.intel_rdt.has_value(), "linux.intelRdt"},
      // The filter itself comes beside the spec, compiled.
      {!in.seccomp.empty() && !has_seccomp, "linux.seccomp"},
  };
  for (const auto& [is_set, path] : asked) {
    if (is_set) return absl::UnimplementedError(absl::StrCat(path, ": is not offered"));
  }
  return absl::OkStatus();
}

}  // namespace berth::shim
