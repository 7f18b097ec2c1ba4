#include "server/host_checks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/process.h"

namespace berth::server {
namespace {

constexpr KernelVersion kOldest = {5, 14};
constexpr unsigned kMfdExec = 0x10;    // MFD_EXEC, Linux 6.3
constexpr int kFsconfigSetString = 1;  // FSCONFIG_SET_STRING

HostCheck Present(absl::string_view name, bool there, absl::string_view detail,
                  Verdict otherwise = Verdict::kAbsent) {
  return {std::string(name), there ? Verdict::kOk : otherwise, std::string(detail)};
}

os::UniqueFd OpenFs(const char* type) {
  return os::UniqueFd(static_cast<int>(syscall(SYS_fsopen, type, 1 /* FSOPEN_CLOEXEC */)));
}

HostCheck KernelCheck() {
  const std::string release = KernelRelease();
  const absl::Status status = CheckKernel(release);
  return {"kernel", status.ok() ? Verdict::kOk : Verdict::kFailed,
          status.ok() ? release : std::string(status.message())};
}

HostCheck CgroupCheck(const os::CgroupHost& cgroups) {
  const std::vector<std::string> controllers = LimitingControllers(cgroups);
  return Present("cgroups", !controllers.empty(),
                 absl::StrCat(CgroupLayoutName(cgroups.layout()), "; limits: ",
                              controllers.empty() ? "none" : absl::StrJoin(controllers, ", ")),
                 Verdict::kFailed);
}

HostCheck CgroupKillCheck(const os::CgroupHost& cgroups) {
  const bool there = !cgroups.v2_root().empty() && CheckKernel(KernelRelease()).ok();
  return Present("cgroup kill", there,
                 there ? absl::StrCat("cgroup.kill in ", cgroups.v2_root())
                       : "no v2 tree: containers are frozen, killed and thawed");
}

HostCheck OverlayCheck() {
  const os::UniqueFd fd = OpenFs("overlay");
  return Present("overlay", fd.valid(), fd.valid() ? "offered" : os::ErrnoText(errno),
                 Verdict::kFailed);
}

HostCheck LowerDirCheck() {
  const os::UniqueFd fd = OpenFs("overlay");
  const bool there =
      fd.valid() && syscall(SYS_fsconfig, fd.get(), kFsconfigSetString, "lowerdir+", "/", 0) == 0;
  return Present("overlay lowerdir+", there,
                 there ? "layers are given one by one"
                       : "needs Linux 6.5: all layers of an image share one option string");
}

HostCheck IdmapCheck() {
  const bool there = !(ParseKernelVersion(KernelRelease()) < KernelVersion{5, 19});
  return Present("idmapped layers", there,
                 there ? "overlay takes idmapped lower directories (Linux 5.19)"
                       : "needs Linux 5.19: pods with user namespaces are not offered");
}

HostCheck ErofsCheck() {
  const os::UniqueFd fd = OpenFs("erofs");
  if (!fd.valid()) return Present("erofs", false, "not in this kernel: layers are directories");
  const bool files = !(ParseKernelVersion(KernelRelease()) < KernelVersion{6, 12});
  return Present("erofs", files, files ? "mounts from files" : "from files needs Linux 6.12");
}

HostCheck LandlockCheck() {
  const long abi =
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 0) {
    return Present("landlock", false,
                   absl::StrCat("off (", os::ErrnoText(errno),
                                "): the image worker is held by seccomp and capabilities only"));
  }
  return Present(
      "landlock", abi >= 2,
      absl::StrCat("ABI ", abi, abi >= 2 ? "" : ": links across directories need ABI 2"));
}

HostCheck ExecMemfdCheck() {
  const std::string source = ShimSource();
  return Present("executable memfd", source == "sealed memfd",
                 absl::StrCat("shims start from a ", source));
}

HostCheck SeccompCheck() {
  const auto actions = os::ReadFile("/proc/sys/kernel/seccomp/actions_avail", 4096);
  return Present("seccomp", actions.ok(),
                 actions.ok() ? std::string(absl::StripAsciiWhitespace(*actions))
                              : std::string(actions.status().message()),
                 Verdict::kFailed);
}

HostCheck UserNamespaceCheck() {
  const auto limit = os::ReadFile("/proc/sys/user/max_user_namespaces", 64);
  const bool there = limit.ok() && absl::StripAsciiWhitespace(*limit) != "0";
  return Present("user namespaces", there,
                 there ? absl::StrCat("up to ", absl::StripAsciiWhitespace(*limit),
                                      "; pods with them are not offered by this version")
                       : "off in this kernel");
}

HostCheck CniCheck() {
  std::vector<std::string> found;
  for (const std::string directory : {"/opt/cni/bin", "/usr/lib/cni"}) {
    const auto names = os::ListDir(AT_FDCWD, directory);
    if (names.ok()) found.push_back(absl::StrCat(directory, " (", names->size(), ")"));
  }
  return Present(
      "cni plugins", !found.empty(),
      found.empty() ? "none installed: host-network pods only" : absl::StrJoin(found, ", "));
}

HostCheck CapabilityCheck() {
  const std::vector<std::string> missing = MissingCapabilities();
  const bool fatal = absl::c_linear_search(missing, "CAP_SYS_ADMIN");
  return Present("capabilities", missing.empty(),
                 missing.empty() ? "all that are used"
                                 : absl::StrCat("missing: ", absl::StrJoin(missing, ", ")),
                 fatal ? Verdict::kFailed : Verdict::kAbsent);
}

HostCheck FileLimitCheck() {
  rlimit limit{};
  (void)getrlimit(RLIMIT_NOFILE, &limit);  // cannot fail for a known resource
  return Present("open files", limit.rlim_cur >= 16384,
                 absl::StrCat("limit ", limit.rlim_cur,
                              limit.rlim_cur >= 16384 ? "" : ": too low for 500 containers"));
}

}  // namespace

std::string KernelRelease() {
  utsname name{};
  return uname(&name) == 0 ? name.release : "";
}

KernelVersion ParseKernelVersion(absl::string_view release) {
  const std::vector<absl::string_view> parts = absl::StrSplit(release, absl::ByAnyChar(".-+"));
  KernelVersion version;
  if (parts.size() < 2 || !absl::SimpleAtoi(parts[0], &version.major) ||
      !absl::SimpleAtoi(parts[1], &version.minor)) {
    return {};
  }
  return version;
}

absl::Status CheckKernel(absl::string_view release) {
  if (!(ParseKernelVersion(release) < kOldest)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("check kernel: ", release, " is older than ", kOldest.major, ".", kOldest.minor,
                   ", which brought cgroup.kill and mounts that a detached tree can be made of"));
}

std::string CgroupLayoutName(os::CgroupLayout layout) {
  switch (layout) {
    case os::CgroupLayout::kV1:
      return "v1";
    case os::CgroupLayout::kHybrid:
      return "hybrid";
    case os::CgroupLayout::kV2:
      return "v2";
  }
  return "";
}

std::vector<std::string> LimitingControllers(const os::CgroupHost& cgroups) {
  std::vector<std::string> out;
  for (const std::string controller : {"cpu", "cpuset", "memory", "pids", "devices", "hugetlb"}) {
    if (cgroups.Has(controller)) out.push_back(controller);
  }
  return out;
}

std::vector<std::string> MissingCapabilities() {
  std::vector<std::string> missing;
  const auto status = os::ReadFile("/proc/self/status", 64 << 10);
  if (!status.ok()) return missing;
  uint64_t effective = 0;
  for (absl::string_view line : absl::StrSplit(*status, '\n')) {
    if (!absl::ConsumePrefix(&line, "CapEff:")) continue;
    if (!absl::SimpleHexAtoi(absl::StripAsciiWhitespace(line), &effective)) return missing;
  }
  for (const std::string name :
       {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID",
        "CAP_KILL", "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
        "CAP_SETUID", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_RESOURCE"}) {
    const auto number = os::CapabilityNumber(name);
    if (number.ok() && (effective >> *number & 1) == 0) missing.push_back(name);
  }
  return missing;
}

std::string ShimSource() {
  os::UniqueFd fd(memfd_create("berth-check", MFD_CLOEXEC | MFD_ALLOW_SEALING | kMfdExec));
  if (!fd.valid() && errno == EINVAL) {  // before 6.3 every memfd is executable
    fd.reset(memfd_create("berth-check", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  }
  return fd.valid() ? "sealed memfd" : "detached mount";
}

std::vector<HostCheck> CheckHost(const os::CgroupHost& cgroups) {
  return {KernelCheck(),     CgroupCheck(cgroups), CgroupKillCheck(cgroups),
          OverlayCheck(),    LowerDirCheck(),      IdmapCheck(),
          ErofsCheck(),      LandlockCheck(),      ExecMemfdCheck(),
          SeccompCheck(),    UserNamespaceCheck(), CniCheck(),
          CapabilityCheck(), FileLimitCheck()};
}

}  // namespace berth::server
