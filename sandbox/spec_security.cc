#include "sandbox/spec_security.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/os/process.h"
#include "base/status_macros.h"
#include "sandbox/deprecated_fields.h"
#include "sandbox/text_rules.h"
#include "sandbox/unimplemented.h"

namespace berth::sandbox {
namespace {

constexpr const char* kDefaultCapabilities[] = {
    "CHOWN",   "DAC_OVERRIDE", "FSETID",           "FOWNER",
    "MKNOD",   "NET_RAW",      "SETGID",           "SETUID",
    "SETFCAP", "SETPCAP",      "NET_BIND_SERVICE", "SYS_CHROOT",
    "KILL",    "AUDIT_WRITE"};

constexpr const char* kDefaultMasked[] = {
    "/proc/acpi",       "/proc/asound",      "/proc/interrupts",
    "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};
constexpr const char* kDefaultReadonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                            "/proc/sysrq-trigger"};

bool IsAll(absl::string_view name) {
  return absl::EqualsIgnoreCase(name, "ALL") || absl::EqualsIgnoreCase(name, "CAP_ALL");
}

uint64_t Bit(int number) { return uint64_t{1} << number; }

// 0 for a capability that the running kernel lacks.
absl::StatusOr<uint64_t> MaskOf(absl::string_view field, const std::string& name) {
  const absl::StatusOr<int> number = os::CapabilityNumber(name);
  if (number.ok()) return Bit(*number);
  if (absl::IsNotFound(number.status())) return uint64_t{0};
  return Invalid(absl::StrCat("security_context.capabilities.", field),
                 absl::StrCat("\"", name, "\" is not a capability"));
}

std::vector<std::string> NamesOf(uint64_t mask) {
  std::vector<std::string> names;
  for (int number = 0; number < 64; ++number) {
    if ((mask & Bit(number)) != 0) names.push_back(os::CapabilityName(number));
  }
  return names;
}

absl::StatusOr<uint64_t> Adds(absl::string_view field,
                              const google::protobuf::RepeatedPtrField<std::string>& names,
                              uint64_t available) {
  uint64_t mask = 0;
  for (const std::string& name : names) {
    if (IsAll(name)) continue;  // the caller's business
    ASSIGN_OR_RETURN(const uint64_t bit, MaskOf(field, name));
    if ((bit & ~available) != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("security_context.capabilities.", field, ": ", name,
                       " is not in the bounding set of the daemon"));
    }
    mask |= bit;
  }
  return mask;
}

uint64_t DefaultMask(uint64_t available) {
  uint64_t mask = 0;
  for (const char* name : kDefaultCapabilities) {
    if (const absl::StatusOr<int> number = os::CapabilityNumber(name); number.ok()) {
      mask |= Bit(*number);
    }
  }
  return mask & available;
}

bool HasAll(const google::protobuf::RepeatedPtrField<std::string>& names) {
  for (const std::string& name : names) {
    if (IsAll(name)) return true;
  }
  return false;
}

absl::StatusOr<std::vector<std::string>> Paths(
    absl::string_view field, const google::protobuf::RepeatedPtrField<std::string>& paths) {
  for (const std::string& path : paths) {
    if (path.empty() || path[0] != '/' || HasControlByte(path)) {
      return Invalid(absl::StrCat("security_context.", field),
                     absl::StrCat("\"", path, "\" is not an absolute path"));
    }
  }
  return std::vector<std::string>(paths.begin(), paths.end());
}

absl::StatusOr<SeccompProfile> LocalhostProfile(const std::string& field, const std::string& path) {
  if (!IsCleanAbsolutePath(path)) {
    return Invalid(field, absl::StrCat("\"", path, "\" is not a clean absolute path"));
  }
  return SeccompProfile{SeccompChoice::kLocalhost, path};
}

absl::StatusOr<SeccompProfile> ProfileOf(const cri::SecurityProfile& profile) {
  const std::string field = "security_context.seccomp.";
  const std::string& path = profile.localhost_ref();
  if (profile.profile_type() != cri::SecurityProfile::Localhost && !path.empty()) {
    return Invalid(field + "localhost_ref", "given for another type than Localhost");
  }
  switch (profile.profile_type()) {
    case cri::SecurityProfile::RuntimeDefault:
      return SeccompProfile{SeccompChoice::kRuntimeDefault, ""};
    case cri::SecurityProfile::Unconfined:
      return SeccompProfile{};
    case cri::SecurityProfile::Localhost:
      return LocalhostProfile(field + "localhost_ref", path);
    default:  // proto3 enums are open: another number may arrive
      return NotOffered(field + "profile_type", static_cast<int>(profile.profile_type()));
  }
}

template <typename SecurityContext>
absl::StatusOr<SeccompProfile> SeccompOf(const SecurityContext& security) {
  if (security.has_seccomp()) return ProfileOf(security.seccomp());
  const std::string field = "security_context.seccomp_profile_path";
  const std::string& path = DeprecatedSeccompPath(security);
  if (path.empty() || path == "unconfined") return SeccompProfile{};
  if (path == "runtime/default" || path == "docker/default") {
    return SeccompProfile{SeccompChoice::kRuntimeDefault, ""};
  }
  absl::string_view local = path;
  if (absl::ConsumePrefix(&local, "localhost/")) return LocalhostProfile(field, std::string(local));
  return Invalid(field, absl::StrCat("\"", path, "\" is not a profile"));
}

}  // namespace

absl::StatusOr<CapabilitySets> ToCapabilities(const cri::LinuxContainerSecurityContext& security,
                                              uint64_t available) {
  const cri::Capability& asked = security.capabilities();
  uint64_t mask = security.privileged() ? available : DefaultMask(available);
  uint64_t ambient = 0;
  if (!security.privileged()) {
    if (HasAll(asked.add_capabilities())) mask = available;
    if (HasAll(asked.drop_capabilities())) mask = 0;
    ASSIGN_OR_RETURN(const uint64_t added,
                     Adds("add_capabilities", asked.add_capabilities(), available));
    ASSIGN_OR_RETURN(ambient,
                     Adds("add_ambient_capabilities", asked.add_ambient_capabilities(), available));
    if (HasAll(asked.add_ambient_capabilities())) ambient = available;
    mask |= added | ambient;
    for (const std::string& name : asked.drop_capabilities()) {
      if (IsAll(name)) continue;
      ASSIGN_OR_RETURN(const uint64_t dropped, MaskOf("drop_capabilities", name));
      mask &= ~dropped;
    }
    ambient &= mask;
  }
  CapabilitySets sets;
  sets.bounding = mask;
  sets.names.bounding = sets.names.effective = sets.names.permitted = NamesOf(mask);
  sets.names.inheritable = sets.names.ambient = NamesOf(ambient);
  return sets;
}

absl::StatusOr<SeccompProfile> ToSeccomp(const cri::LinuxContainerSecurityContext& security) {
  ASSIGN_OR_RETURN(SeccompProfile profile, SeccompOf(security));
  return security.privileged() ? SeccompProfile{} : std::move(profile);
}

absl::Status CheckSeccomp(const cri::LinuxSandboxSecurityContext& security) {
  return SeccompOf(security).status();
}

absl::Status CheckAppArmor(const cri::LinuxContainerSecurityContext& security, bool has_apparmor) {
  constexpr char kField[] = "security_context.apparmor";
  if (security.has_apparmor()) {
    const cri::SecurityProfile& profile = security.apparmor();
    if (profile.profile_type() == cri::SecurityProfile::Localhost) {
      return NotOffered(kField, absl::StrCat("Localhost \"", profile.localhost_ref(), "\""));
    }
    if (profile.profile_type() == cri::SecurityProfile::RuntimeDefault && has_apparmor &&
        !security.privileged()) {
      return NotOffered(kField, "RuntimeDefault",
                        "this kernel has AppArmor, Berth loads no profile");
    }
    return absl::OkStatus();
  }
  const std::string& profile = DeprecatedAppArmorProfile(security);
  if (profile.empty() || profile == "unconfined") return absl::OkStatus();
  if (profile == "runtime/default" && (!has_apparmor || security.privileged())) {
    return absl::OkStatus();
  }
  return NotOffered("security_context.apparmor_profile", absl::StrCat("\"", profile, "\""));
}

absl::StatusOr<GuardedPaths> ToGuardedPaths(const cri::LinuxContainerConfig& config,
                                            bool in_user_namespace) {
  GuardedPaths paths;
  const cri::LinuxContainerSecurityContext& security = config.security_context();
  if (security.privileged()) return paths;
  // On the wire "not said" and "none" are one. Kubelet means "none" (procMount: Unmasked) only for
  // pods with a user namespace; elsewhere an empty list is the default one, so that a client that
  // says nothing (crictl) does not hand out the host's /proc/sys.
  ASSIGN_OR_RETURN(paths.masked, Paths("masked_paths", security.masked_paths()));
  if (paths.masked.empty() && !in_user_namespace) {
    paths.masked.assign(std::begin(kDefaultMasked), std::end(kDefaultMasked));
  }
  ASSIGN_OR_RETURN(paths.readonly, Paths("readonly_paths", security.readonly_paths()));
  if (paths.readonly.empty() && !in_user_namespace) {
    paths.readonly.assign(std::begin(kDefaultReadonly), std::end(kDefaultReadonly));
  }
  return paths;
}

std::vector<os::CgroupLimits::DeviceRule> DeviceRules(bool privileged) {
  using Rule = os::CgroupLimits::DeviceRule;
  if (privileged) return {Rule{true, 'a', std::nullopt, std::nullopt, "rwm"}};
  std::vector<Rule> rules = {
      Rule{false, 'a', std::nullopt, std::nullopt, "rwm"},
      Rule{true, 'c', std::nullopt, std::nullopt, "m"},  // a node may be made, not opened
      Rule{true, 'b', std::nullopt, std::nullopt, "m"},
  };
  // null, zero, full, random, urandom, tty, console, ptmx, pts/*
  constexpr std::pair<int64_t, int64_t> kHarmless[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8},
                                                       {1, 9}, {5, 0}, {5, 1}, {5, 2}};
  for (const auto& [major, minor] : kHarmless)
    rules.push_back(Rule{true, 'c', major, minor, "rwm"});
  rules.push_back(Rule{true, 'c', 136, std::nullopt, "rwm"});
  return rules;
}

}  // namespace berth::sandbox
