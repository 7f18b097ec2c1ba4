#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/mount_options.h"

namespace berth::shim::front {
namespace {

using Json = nlohmann::ordered_json;

// What a mount of the spec may be told; those of file systems are not among them.
constexpr const char* kMountOptions[] = {
    "async",          "atime",       "bind",         "defaults",    "dev",
    "diratime",       "dirsync",     "exec",         "iversion",    "lazytime",
    "mand",           "noatime",     "nodev",        "nodiratime",  "noexec",
    "noiversion",     "nolazytime",  "nomand",       "norelatime",  "nostrictatime",
    "nosuid",         "nosymfollow", "private",      "ratime",      "rbind",
    "rdev",           "rdiratime",   "relatime",     "remount",     "rexec",
    "rnoatime",       "rnodev",      "rnodiratime",  "rnoexec",     "rnorelatime",
    "rnostrictatime", "rnosuid",     "rnosymfollow", "ro",          "rprivate",
    "rrelatime",      "rro",         "rrw",          "rshared",     "rslave",
    "rstrictatime",   "rsuid",       "rsymfollow",   "runbindable", "rw",
    "shared",         "silent",      "slave",        "strictatime", "suid",
    "symfollow",      "sync",        "tmpcopyup",    "unbindable",  "idmap",
    "ridmap"};

// True to what ParseMountOptions takes as more than data of a file system.
Json MountOptionsOf() {
  Json out = Json::array();
  for (const char* option : kMountOptions) {
    const absl::StatusOr<MountOptions> parsed = ParseMountOptions({option});
    if (parsed.ok() && parsed->data.empty()) out.push_back(option);
  }
  return out;
}

Json Capabilities() {
  Json out = Json::array();
  for (int number = 0;; ++number) {
    const std::string name = os::CapabilityName(number);
    if (!os::CapabilityNumber(name).ok()) return out;
    out.push_back(name);
  }
}

Json Seccomp() {
  return {{"enabled", true},
          {"actions",
           {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
            "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"}},
          {"operators",
           {"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
            "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"}},
          {"archs",
           {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86",
            "SCMP_ARCH_X86_64"}}};
}

Json Linux() {
  return {
      {"namespaces", {"cgroup", "ipc", "mount", "network", "pid", "user", "uts"}},
      {"capabilities", Capabilities()},
      {"cgroup",
       {{"v1", true}, {"v2", true}, {"systemd", false}, {"systemdUser", false}, {"rdma", true}}},
      {"seccomp", Seccomp()},
      {"apparmor", {{"enabled", false}}},
      {"selinux", {{"enabled", false}}},
      {"intelRdt", {{"enabled", false}}},
      {"mountExtensions", {{"idmap", {{"enabled", true}}}}},
      {"netDevices", {{"enabled", false}}}};
}

}  // namespace

absl::StatusOr<int> Features(const Options& /*options*/, const Words& words) {
  ASSIGN_OR_RETURN(const Arguments arguments, Arguments::Parse(words, {}));
  RETURN_IF_ERROR(arguments.Expect(0, 0));
  const Json features = {
      {"ociVersionMin", "1.0.0"},
      {"ociVersionMax", "1.3.0"},
      {"hooks",
       {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}},
      {"mountOptions", MountOptionsOf()},
      {"linux", Linux()},
      {"annotations", {{"dev.berth.version", BERTH_VERSION}}}};
  RETURN_IF_ERROR(os::WriteAll(STDOUT_FILENO, features.dump(2) + "\n"));
  return 0;
}

}  // namespace berth::shim::front
