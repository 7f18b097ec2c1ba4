#include "sandbox/host_port.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <set>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "base/status_macros.h"
#include "sandbox/made_path.h"

namespace berth::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr int kCapSysResource = 24;
constexpr char kHostNetnsDir[] = "/run/netns";
constexpr int kMaxCgroupDepth = 12;

std::vector<std::string> Hierarchies(const os::CgroupHost& host) {
  std::vector<std::string> roots;
  for (const auto& [controllers, root] : host.v1_roots()) roots.push_back(root);
  if (!host.v2_root().empty()) roots.push_back(host.v2_root());
  return roots;
}

std::vector<std::string> Subdirectories(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;  // it went away: not a directory then
    if (it->symlink_status(ignored).type() == fs::file_type::directory) {
      names.push_back(it->path().filename().string());
    }
  }
  return names;
}

std::string FindBelow(const std::string& root, const std::string& at, const std::string& name,
                      int depth) {
  for (const std::string& child : Subdirectories(root + at)) {
    std::string path = absl::StrCat(at, "/", child);
    if (child == name) return path;
    if (depth == 0) continue;
    if (std::string found = FindBelow(root, path, name, depth - 1); !found.empty()) return found;
  }
  return "";
}

// What a container has of its own instead.
bool IsOwnInContainer(absl::string_view name) {
  static const auto* const kNames =
      new std::set<std::string>{"pts",  "shm",  "fd",   "mqueue", "console", "ptmx", ".udev",
                                "null", "zero", "full", "random", "urandom", "tty"};
  return kNames->count(std::string(name)) != 0;
}

void AddDevices(const std::string& dir, bool top, std::vector<shim::oci::Device>* devices) {
  std::error_code error;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    const std::string path = it->path().string();
    if (top && IsOwnInContainer(it->path().filename().string())) continue;
    struct stat st;
    if (lstat(path.c_str(), &st) != 0) continue;  // it went away
    if (S_ISDIR(st.st_mode)) {
      AddDevices(path, false, devices);
    } else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
      shim::oci::Device device;
      device.path = path;
      device.type = S_ISCHR(st.st_mode) ? 'c' : 'b';
      device.major = major(st.st_rdev);
      device.minor = minor(st.st_rdev);
      device.file_mode = st.st_mode & 07777;
      device.uid = st.st_uid;
      device.gid = st.st_gid;
      devices->push_back(std::move(device));
    }
  }
}

class LinuxHostPort : public HostPort {
 public:
  LinuxHostPort(const os::CgroupHost* cgroups, os::PinTable pins)
      : cgroups_(*cgroups), pins_(std::move(pins)) {}

  absl::Status PinNamespaces(const std::string& pod,
                             const os::PodNamespaceOptions& options) override {
    return pins_.Pin(pod, options);
  }
  absl::Status UnpinNamespaces(const PinnedPod& pod) override {
    if (!pod.old_pin.empty()) return os::UnpinOldPin(pod.old_pin);
    return pins_.Unpin(pod.pod, pod.network_path);
  }
  absl::StatusOr<os::PodNamespaces> OpenNamespaces(const PinnedPod& pod) override {
    if (!pod.old_pin.empty()) return os::OpenOldPin(pod.old_pin);
    return pins_.OpenPod(pod.pod, pod.network_path);
  }
  std::vector<std::string> PinnedPods() override {
    absl::StatusOr<std::vector<std::string>> pods = pins_.List();
    if (pods.ok()) return *std::move(pods);
    LogError("cannot list pinned namespaces", {{"error", pods.status().ToString()}});
    return {};
  }
  bool IsNetworkPinned(const std::string& network_path) override {
    return os::IsPinnedNamespace(network_path);
  }

  absl::StatusOr<os::UniqueFd> OpenPidNamespace(pid_t pid, uint64_t start_time) override {
    return os::OpenPidNamespace(pid, start_time);
  }

  std::vector<std::string> MissingCgroups(const std::string& path) override {
    std::vector<std::string> missing;
    for (const std::string& root : Hierarchies(cgroups_)) {
      if (std::string top = TopmostMissing(root + path); !top.empty()) missing.push_back(top);
    }
    return missing;
  }
  absl::Status CreateCgroup(const std::string& path) override {
    return cgroups_.Create(path).status();
  }
  absl::Status KillCgroup(const std::string& path, Deadline deadline) override {
    return cgroups_.Kill(path, deadline);
  }
  absl::Status RemoveCgroup(const std::string& path, const std::vector<std::string>& made,
                            Deadline deadline) override {
    // Ours only if it was missing in some hierarchy: a group with processes of others stays.
    RETURN_IF_ERROR(cgroups_.Remove(path, deadline));
    for (const std::string& top : made) {
      for (const std::string& root : Hierarchies(cgroups_)) {
        if (!absl::StartsWith(top, root + "/")) continue;
        RETURN_IF_ERROR(RemoveParents(root + path, top));
      }
    }
    return absl::OkStatus();
  }
  std::vector<std::string> ListCgroups(const std::string& path) override {
    std::set<std::string> names;
    for (const std::string& root : Hierarchies(cgroups_)) {
      for (std::string& name : Subdirectories(root + path)) names.insert(std::move(name));
    }
    return {names.begin(), names.end()};
  }
  std::string FindCgroup(const std::string& name) override {
    for (const std::string& root : Hierarchies(cgroups_)) {
      if (std::string found = FindBelow(root, "", name, kMaxCgroupDepth); !found.empty()) {
        return found;
      }
    }
    return "";
  }

  absl::StatusOr<os::DetachedMount> CloneTree(const std::string& path) override {
    return os::CloneTree(AT_FDCWD, path, /*recursive=*/true);
  }
  absl::StatusOr<std::vector<shim::oci::Device>> Devices() override {
    std::vector<shim::oci::Device> devices;
    AddDevices("/dev", true, &devices);
    return devices;
  }

 private:
  static absl::Status RemoveParents(const std::string& leaf, const std::string& top) {
    for (std::string at = leaf; at.size() >= top.size(); at = ParentOf(at)) {
      if (rmdir(at.c_str()) == 0 || errno == ENOENT) continue;
      if (errno == EBUSY || errno == ENOTEMPTY) return absl::OkStatus();  // in use by others now
      return os::ErrnoStatus(errno, absl::StrCat("remove cgroup ", at));
    }
    return absl::OkStatus();
  }

  const os::CgroupHost& cgroups_;
  const os::PinTable pins_;
};

// Overlay takes idmapped layers since 5.19. Absent: a kernel without user namespaces.
absl::StatusOr<bool> HasUserNamespaces() {
  utsname name{};
  if (uname(&name) != 0) return os::ErrnoStatus(errno, "uname");
  int major = 0;
  int minor = 0;
  if (sscanf(name.release, "%d.%d", &major, &minor) != 2) return false;  // NOLINT(cert-err34-c)
  const absl::StatusOr<std::string> most = os::ReadFile("/proc/sys/user/max_user_namespaces", 32);
  return std::pair(major, minor) >= std::pair(5, 19) && most.ok() && *most != "0\n";
}

}  // namespace

absl::StatusOr<HostFacts> ReadHostFacts() {
  HostFacts facts;
  ASSIGN_OR_RETURN(facts.boot_id, os::BootId());
  char hostname[65] = {};
  if (gethostname(hostname, sizeof hostname - 1) != 0) return os::ErrnoStatus(errno, "gethostname");
  facts.hostname = hostname;
  ASSIGN_OR_RETURN(facts.capabilities, os::BoundingCapabilities());
  facts.lowest_oom_score_adj = -1000;
  if ((facts.capabilities >> kCapSysResource & 1) == 0) {
    ASSIGN_OR_RETURN(const std::string own, os::ReadFile("/proc/self/oom_score_adj", 64));
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(own), &facts.lowest_oom_score_adj)) {
      return absl::InternalError("read /proc/self/oom_score_adj: not a number");
    }
  }
  // Absent: the kernel has no AppArmor.
  const absl::StatusOr<std::string> apparmor =
      os::ReadFile("/sys/module/apparmor/parameters/enabled", 16);
  ASSIGN_OR_RETURN(facts.has_user_namespaces, HasUserNamespaces());
  facts.has_apparmor = apparmor.ok() && absl::StartsWith(*apparmor, "Y");
  // Absent: no SELinux in the kernel, or none among its active security modules.
  facts.has_selinux = os::ReadFile("/sys/fs/selinux/enforce", 16).ok();
  return facts;
}

absl::StatusOr<std::unique_ptr<HostPort>> MakeHostPort(const os::CgroupHost* cgroups,
                                                       const std::string& run_dir,
                                                       const std::string& netns_dir) {
  ASSIGN_OR_RETURN(os::PinTable pins, os::PinTable::Open(run_dir));
  // One that is not the host's is not shared with `ip netns` and CNI agents either.
  RETURN_IF_ERROR_CTX(netns_dir == kHostNetnsDir ? os::MakeNetworkDirectory(netns_dir)
                                                 : os::MakeDirs(netns_dir, 0755),
                      "make the directory of network pins");
  return std::make_unique<LinuxHostPort>(cgroups, std::move(pins));
}

}  // namespace berth::sandbox
