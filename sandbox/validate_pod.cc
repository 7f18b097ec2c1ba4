#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "sandbox/pod_network.h"
#include "sandbox/spec_security.h"
#include "sandbox/text_rules.h"
#include "sandbox/unimplemented.h"
#include "sandbox/user_mappings.h"
#include "sandbox/validate.h"

namespace berth::sandbox {
namespace {

constexpr size_t kMaxHostname = 64;  // HOST_NAME_MAX

absl::Status CheckMetadata(const cri::PodSandboxConfig& config) {
  if (!config.has_metadata()) return Invalid("config.metadata", "must not be empty");
  const cri::PodSandboxMetadata& metadata = config.metadata();
  if (metadata.name().empty()) return Invalid("config.metadata.name", "must not be empty");
  if (metadata.namespace_().empty())
    return Invalid("config.metadata.namespace", "must not be empty");
  if (metadata.uid().empty()) return Invalid("config.metadata.uid", "must not be empty");
  return absl::OkStatus();
}

// One owns the namespaces beside it: the kernel mounts no proc or mqueue of the host's for it.
absl::Status CheckUserNamespace(const cri::NamespaceOption& asked) {
  ASSIGN_OR_RETURN(const os::UserMappings mappings, ToUserMappings(asked));
  if (mappings.empty()) return absl::OkStatus();
  const std::string field = "linux.security_context.namespace_options.";
  if (asked.pid() == cri::NODE) {
    return Invalid(field + "pid", "NODE and a user namespace exclude each other");
  }
  if (asked.ipc() == cri::NODE) {
    return Invalid(field + "ipc", "NODE and a user namespace exclude each other");
  }
  return absl::OkStatus();
}

absl::Status CheckNamespaces(const cri::NamespaceOption& asked) {
  const std::string field = "linux.security_context.namespace_options.";
  if (asked.network() != cri::POD && asked.network() != cri::NODE) {
    return NotOffered(field + "network", cri::NamespaceMode_Name(asked.network()),
                      "POD and NODE are");
  }
  if (asked.pid() != cri::POD && asked.pid() != cri::CONTAINER && asked.pid() != cri::NODE) {
    return NotOffered(field + "pid", cri::NamespaceMode_Name(asked.pid()),
                      "POD, CONTAINER and NODE are");
  }
  if (asked.ipc() != cri::POD && asked.ipc() != cri::NODE) {
    return NotOffered(field + "ipc", cri::NamespaceMode_Name(asked.ipc()), "POD and NODE are");
  }
  if (!asked.target_id().empty()) return NotOffered(field + "target_id", asked.target_id());
  return CheckUserNamespace(asked);
}

absl::Status CheckProfile(const std::string& field, const cri::SecurityProfile& profile) {
  if (profile.profile_type() != cri::SecurityProfile::Localhost) return absl::OkStatus();
  return NotOffered(field, absl::StrCat("Localhost \"", profile.localhost_ref(), "\""));
}

absl::Status CheckSecurity(const cri::LinuxSandboxSecurityContext& security) {
  const std::string field = "linux.security_context.";
  RETURN_IF_ERROR(CheckNamespaces(security.namespace_options()));
  const cri::SELinuxOption& selinux = security.selinux_options();
  if (!selinux.user().empty() || !selinux.role().empty() || !selinux.type().empty() ||
      !selinux.level().empty()) {
    return NotOffered(field + "selinux_options",
                      absl::StrCat(selinux.user(), ":", selinux.role(), ":", selinux.type(), ":",
                                   selinux.level()));
  }
  RETURN_IF_ERROR(CheckSeccomp(security));
  RETURN_IF_ERROR(CheckProfile(field + "apparmor", security.apparmor()));
  // No process of the pod's own runs as this user; the rule holds all the same.
  if (security.has_run_as_group() && !security.has_run_as_user()) {
    return Invalid(field + "run_as_group", "given without run_as_user");
  }
  return absl::OkStatus();
}

absl::Status CheckCgroupParent(const std::string& parent) {
  if (parent.empty()) return absl::OkStatus();
  if (absl::EndsWith(parent, ".slice")) {
    return Invalid("linux.cgroup_parent",
                   absl::StrCat("\"", parent, "\" is of the systemd driver; this is cgroupfs"));
  }
  if (!IsCleanAbsolutePath(parent) || parent == "/") {
    return Invalid("linux.cgroup_parent",
                   absl::StrCat("\"", parent, "\" is not a clean absolute path below the root"));
  }
  return absl::OkStatus();
}

absl::Status CheckDns(const cri::DNSConfig& dns) {
  for (const auto* list : {&dns.servers(), &dns.searches(), &dns.options()}) {
    for (const std::string& entry : *list) {
      if (HasControlByte(entry)) return Invalid("config.dns_config", "an entry has a control byte");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckHandler(const std::string& handler, const RuntimeOptions& options) {
  if (handler.empty() || handler == options.default_runtime_handler) return absl::OkStatus();
  return Invalid("runtime_handler", absl::StrCat("no runtime for \"", handler, "\" is configured"));
}

}  // namespace

absl::Status ValidatePodSandbox(const cri::RunPodSandboxRequest& request,
                                const RuntimeOptions& options) {
  const cri::PodSandboxConfig& config = request.config();
  RETURN_IF_ERROR(CheckMetadata(config));
  RETURN_IF_ERROR(CheckHandler(request.runtime_handler(), options));
  if (config.hostname().size() > kMaxHostname || HasControlByte(config.hostname())) {
    return Invalid("config.hostname", "longer than 64 bytes or with a control byte");
  }
  if (!config.log_directory().empty() && !IsCleanAbsolutePath(config.log_directory())) {
    return Invalid("config.log_directory",
                   absl::StrCat("\"", config.log_directory(), "\" is not a clean absolute path"));
  }
  RETURN_IF_ERROR(CheckDns(config.dns_config()));
  RETURN_IF_ERROR(CheckNetwork(config));
  RETURN_IF_ERROR(CheckCgroupParent(config.linux().cgroup_parent()));
  RETURN_IF_ERROR(CheckSecurity(config.linux().security_context()));
  return CheckSysctls(config);
}

}  // namespace berth::sandbox
