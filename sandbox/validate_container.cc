#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "sandbox/text_rules.h"
#include "sandbox/unimplemented.h"
#include "sandbox/user_mappings.h"
#include "sandbox/validate.h"

namespace berth::sandbox {
namespace {

absl::Status CheckNamespaces(const cri::NamespaceOption& asked, const cri::NamespaceOption& pod) {
  const std::string field = "linux.security_context.namespace_options.";
  if (asked.pid() == cri::POD && pod.pid() != cri::POD) {
    return Invalid(field + "pid", absl::StrCat("POD, and the pod sandbox has no PID namespace of "
                                               "its own: its mode is ",
                                               cri::NamespaceMode_Name(pod.pid())));
  }
  if (asked.pid() != cri::POD && asked.pid() != cri::CONTAINER && asked.pid() != cri::NODE) {
    return NotOffered(field + "pid", cri::NamespaceMode_Name(asked.pid()),
                      "POD, CONTAINER and NODE are");
  }
  if (!asked.target_id().empty()) return NotOffered(field + "target_id", asked.target_id());
  if (asked.has_userns_options()) {
    ASSIGN_OR_RETURN(const os::UserMappings wanted, ToUserMappings(asked));
    ASSIGN_OR_RETURN(const os::UserMappings pods, ToUserMappings(pod));
    if (!(wanted.uids == pods.uids && wanted.gids == pods.gids)) {
      return Invalid(field + "userns_options", "is not the pod sandbox's");
    }
  }
  if (asked.network() != pod.network()) {
    return NotOffered(field + "network", cri::NamespaceMode_Name(asked.network()),
                      absl::StrCat("the pod's is ", cri::NamespaceMode_Name(pod.network())));
  }
  if (asked.ipc() != pod.ipc()) {
    return NotOffered(field + "ipc", cri::NamespaceMode_Name(asked.ipc()),
                      absl::StrCat("the pod's is ", cri::NamespaceMode_Name(pod.ipc())));
  }
  return absl::OkStatus();
}

absl::Status CheckSecurity(const cri::LinuxContainerSecurityContext& security,
                           const cri::LinuxSandboxSecurityContext& pod) {
  const std::string field = "linux.security_context.";
  if (security.privileged() && !pod.privileged()) {
    return Invalid(field + "privileged", "the pod sandbox is not privileged");
  }
  const cri::SELinuxOption& selinux = security.selinux_options();
  if (!selinux.user().empty() || !selinux.role().empty() || !selinux.type().empty() ||
      !selinux.level().empty()) {
    return NotOffered(field + "selinux_options",
                      absl::StrCat(selinux.user(), ":", selinux.role(), ":", selinux.type(), ":",
                                   selinux.level()));
  }
  if (security.has_namespace_options()) {
    return CheckNamespaces(security.namespace_options(), pod.namespace_options());
  }
  return absl::OkStatus();
}

absl::Status CheckDevices(const cri::ContainerConfig& config) {
  if (config.devices_size() > 0) {
    return NotOffered("config.devices", absl::StrCat("\"", config.devices(0).host_path(), "\""));
  }
  if (config.cdi_devices_size() > 0) {
    return NotOffered("config.CDI_devices", absl::StrCat("\"", config.cdi_devices(0).name(), "\""));
  }
  for (const auto& [key, value] : config.annotations()) {
    if (absl::StartsWith(key, "cdi.k8s.io/")) {
      return NotOffered("config.annotations", absl::StrCat(key, "=", value));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateContainer(const cri::ContainerConfig& config,
                               const cri::PodSandboxConfig& pod) {
  if (!config.has_metadata() || config.metadata().name().empty()) {
    return Invalid("config.metadata.name", "must not be empty");
  }
  if (config.image().image().empty()) return Invalid("config.image.image", "must not be empty");
  if (!config.log_path().empty()) {
    if (!IsCleanRelativePath(config.log_path())) {
      return Invalid("config.log_path", absl::StrCat("\"", config.log_path(),
                                                     "\" is not a path below the log directory"));
    }
  }
  RETURN_IF_ERROR(CheckDevices(config));
  return CheckSecurity(config.linux().security_context(), pod.linux().security_context());
}

}  // namespace berth::sandbox
