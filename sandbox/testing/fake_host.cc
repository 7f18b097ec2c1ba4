#include <fcntl.h>

#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "sandbox/made_path.h"
#include "sandbox/testing/fakes.h"

namespace berth::sandbox::testing {

absl::Status FakeHost::PinNamespaces(const std::string& pod,
                                     const os::PodNamespaceOptions& options) {
  MutexLock lock(&mu_);
  if (!pins_.insert(pod).second) return absl::AlreadyExistsError("pinned");
  if (options.private_network) pins_.insert(options.network_path);
  last_pin_ = options;
  return absl::OkStatus();
}

absl::Status FakeHost::UnpinNamespaces(const PinnedPod& pod) {
  MutexLock lock(&mu_);
  if (!unpins_.ok()) return unpins_;
  pins_.erase(pod.pod);
  pins_.erase(pod.network_path);
  return absl::OkStatus();
}

std::vector<std::string> FakeHost::PinnedPods() {
  MutexLock lock(&mu_);
  std::vector<std::string> pods;
  for (const std::string& pin : pins_) {
    if (pin[0] != '/') pods.push_back(pin);
  }
  return pods;
}

bool FakeHost::IsNetworkPinned(const std::string& network_path) {
  MutexLock lock(&mu_);
  return pins_.count(network_path) != 0;
}

absl::StatusOr<os::PodNamespaces> FakeHost::OpenNamespaces(const PinnedPod& pod) {
  MutexLock lock(&mu_);
  if (pins_.count(pod.pod) == 0) return absl::NotFoundError("not pinned");
  os::PodNamespaces namespaces;
  ASSIGN_OR_RETURN(namespaces.uts, os::Open("/dev/null", O_RDONLY));
  ASSIGN_OR_RETURN(namespaces.ipc, os::Open("/dev/null", O_RDONLY));
  ASSIGN_OR_RETURN(namespaces.shm, os::Open("/dev/null", O_RDONLY));
  if (!pod.network_path.empty()) {
    ASSIGN_OR_RETURN(namespaces.net, os::Open("/dev/null", O_RDONLY));
  }
  return namespaces;
}

absl::StatusOr<os::UniqueFd> FakeHost::OpenPidNamespace(pid_t, uint64_t) {
  return os::Open("/dev/null", O_RDONLY);
}

std::vector<std::string> FakeHost::MissingCgroups(const std::string& path) {
  MutexLock lock(&mu_);
  std::string missing;
  for (std::string at = path; at != "/"; at = ParentOf(at)) {
    if (cgroups_.count(at) != 0) break;
    missing = at;
  }
  return missing.empty() ? std::vector<std::string>() : std::vector<std::string>{missing};
}

absl::Status FakeHost::CreateCgroup(const std::string& path) {
  MutexLock lock(&mu_);
  for (std::string at = path; at != "/"; at = ParentOf(at)) cgroups_.insert(at);
  return absl::OkStatus();
}

absl::Status FakeHost::KillCgroup(const std::string& path, Deadline) {
  MutexLock lock(&mu_);
  killed_.push_back(path);
  return absl::OkStatus();
}

absl::Status FakeHost::RemoveCgroup(const std::string& path, const std::vector<std::string>& made,
                                    Deadline) {
  MutexLock lock(&mu_);
  cgroups_.erase(path);
  for (const std::string& top : made) {
    for (std::string at = path; at.size() >= top.size(); at = ParentOf(at)) {
      const auto child = cgroups_.lower_bound(at + "/");
      if (child != cgroups_.end() && absl::StartsWith(*child, at + "/")) break;
      cgroups_.erase(at);
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> FakeHost::ListCgroups(const std::string& path) {
  MutexLock lock(&mu_);
  std::vector<std::string> names;
  for (const std::string& cgroup : cgroups_) {
    if (cgroup != "/" && ParentOf(cgroup) == path) names.push_back(cgroup.substr(path.size() + 1));
  }
  return names;
}

std::string FakeHost::FindCgroup(const std::string& name) {
  MutexLock lock(&mu_);
  for (const std::string& cgroup : cgroups_) {
    if (absl::EndsWith(cgroup, "/" + name)) return cgroup;
  }
  return "";
}

absl::StatusOr<os::DetachedMount> FakeHost::CloneTree(const std::string& path) {
  return os::Open(path, O_PATH);
}

absl::StatusOr<std::vector<shim::oci::Device>> FakeHost::Devices() {
  return std::vector<shim::oci::Device>{{"/dev/fuse", 'c', 10, 229, 0666, 0, 0}};
}

std::set<std::string> FakeHost::pins() {
  MutexLock lock(&mu_);
  return pins_;
}
std::set<std::string> FakeHost::cgroups() {
  MutexLock lock(&mu_);
  return cgroups_;
}
std::vector<std::string> FakeHost::killed() {
  MutexLock lock(&mu_);
  return killed_;
}
void FakeHost::AddCgroup(const std::string& path) { (void)CreateCgroup(path); }  // cannot fail
void FakeHost::AddPin(const std::string& pod) {
  MutexLock lock(&mu_);
  pins_.insert(pod);
}
os::PodNamespaceOptions FakeHost::last_pin() {
  MutexLock lock(&mu_);
  return last_pin_;
}
void FakeHost::FailUnpins(absl::Status error) {
  MutexLock lock(&mu_);
  unpins_ = std::move(error);
}

}  // namespace berth::sandbox::testing
