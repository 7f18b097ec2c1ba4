#include <utility>

#include "absl/strings/str_cat.h"
#include "shim/create_plan.h"

namespace berth::shim {

absl::Status CheckOffered(const oci::Spec& spec, bool has_seccomp) {
  if (!spec.has_process) return absl::InvalidArgumentError("process: is required");
  const oci::Process& process = spec.process;
  const oci::Linux& in = spec.linux_;
  const oci::Hooks& hooks = spec.hooks;
  const std::pair<bool, const char*> asked[] = {
      {!process.apparmor_profile.empty(), "process.apparmorProfile"},
      {!process.selinux_label.empty(), "process.selinuxLabel"},
      {process.scheduler.has_value(), "process.scheduler"},
      {process.io_priority.has_value(), "process.ioPriority"},
      {!process.exec_cpu_affinity.initial.empty(), "process.execCPUAffinity.initial"},
      {!process.exec_cpu_affinity.final_.empty(), "process.execCPUAffinity.final"},
      {!spec.domainname.empty(), "domainname"},
      {!hooks.prestart.empty(), "hooks.prestart"},
      {!hooks.create_runtime.empty(), "hooks.createRuntime"},
      {!hooks.create_container.empty(), "hooks.createContainer"},
      {!hooks.start_container.empty(), "hooks.startContainer"},
      {!hooks.poststart.empty(), "hooks.poststart"},
      {!hooks.poststop.empty(), "hooks.poststop"},
      {!in.mount_label.empty(), "linux.mountLabel"},
      {!in.time_offsets.empty(), "linux.timeOffsets"},
      {in.personality.has_value(), "linux.personality"},
      {in.memory_policy.has_value(), "linux.memoryPolicy"},
      {in.intel_rdt.has_value(), "linux.intelRdt"},
      {!in.net_devices.empty(), "linux.netDevices"},
      // The filter itself comes beside the spec, compiled.
      {!in.seccomp.empty() && !has_seccomp, "linux.seccomp"},
  };
  for (const auto& [is_set, path] : asked) {
    if (is_set) return absl::UnimplementedError(absl::StrCat(path, ": is not offered"));
  }
  return absl::OkStatus();
}

}  // namespace berth::shim
