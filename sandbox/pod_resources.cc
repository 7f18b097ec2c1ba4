#include "sandbox/pod_resources.h"

#include <fcntl.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "sandbox/made_path.h"
#include "sandbox/paths.h"
#include "sandbox/pod_network.h"
#include "sandbox/user_mappings.h"

namespace berth::sandbox {
namespace {

constexpr size_t kMaxHostFile = 1 << 20;
constexpr char kLoopbackHosts[] =
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

PinnedPod PinnedAt(const Pod& pod) {
  const SandboxRecord& record = pod.view()->record;
  return PinnedPod{pod.id.str(), record.network_path(), record.pin_path()};
}

// The host's file, or `fallback` where the host has none.
absl::StatusOr<std::string> HostFile(const std::string& path, absl::string_view fallback) {
  absl::StatusOr<std::string> text = os::ReadFile(path, kMaxHostFile);
  if (os::IsErrno(text.status(), ENOENT)) return std::string(fallback);
  return text;
}

absl::StatusOr<std::string> ResolvConf(const cri::PodSandboxConfig& config) {
  const cri::DNSConfig& dns = config.dns_config();
  if (dns.servers().empty() && dns.searches().empty() && dns.options().empty()) {
    return HostFile("/etc/resolv.conf", "");
  }
  std::string text;
  if (!dns.searches().empty()) {
    absl::StrAppend(&text, "search ", absl::StrJoin(dns.searches(), " "), "\n");
  }
  for (const std::string& server : dns.servers())
    absl::StrAppend(&text, "nameserver ", server, "\n");
  if (!dns.options().empty()) {
    absl::StrAppend(&text, "options ", absl::StrJoin(dns.options(), " "), "\n");
  }
  return text;
}

absl::Status WriteFile(int dir, const char* name, absl::string_view text) {
  return os::WriteFileAtomic(dir, name, text, 0644, os::Durability::kProcessCrash);
}

}  // namespace

absl::Status MakeLogDirectory(const SandboxRecord& record) {
  const std::string dir = ConfigOf(record).log_directory();
  if (dir.empty()) return absl::OkStatus();
  return os::MakeDirs(dir, 0755);
}

absl::Status RemoveLogDirectory(const SandboxRecord& record) {
  return RemoveMade(ConfigOf(record).log_directory(), record.made_log_dir());
}

absl::Status MakePodCgroup(Core& core, const SandboxRecord& record) {
  return core.host->CreateCgroup(record.cgroup_parent());
}

absl::Status RemovePodCgroup(Core& core, const SandboxRecord& record, Deadline deadline) {
  if (record.made_cgroup_dirs().empty()) return absl::OkStatus();  // kubelet's
  return core.host->RemoveCgroup(
      record.cgroup_parent(), {record.made_cgroup_dirs().begin(), record.made_cgroup_dirs().end()},
      deadline);
}

absl::Status PinPod(Core& core, const Pod& pod) {
  const SandboxRecord record = pod.view()->record;
  const cri::PodSandboxConfig config = ConfigOf(record);
  os::PodNamespaceOptions options;
  options.hostname = config.hostname();
  options.private_ipc = record.private_ipc();
  options.shm_bytes = core.options.shm_bytes;
  options.private_network = !record.network_path().empty();
  options.network_path = record.network_path();
  ASSIGN_OR_RETURN(options.user, PodUserMappings(config));
  options.sysctls = PodSysctls(config);
  return core.host->PinNamespaces(pod.id.str(), options);
}

absl::StatusOr<os::PodNamespaces> OpenPod(const Core& core, const Pod& pod) {
  return core.host->OpenNamespaces(PinnedAt(pod));
}

absl::Status UnpinPod(Core& core, const Pod& pod) {
  const PinnedPod pinned = PinnedAt(pod);
  RETURN_IF_ERROR(core.host->UnpinNamespaces(pinned));
  if (pinned.old_pin.empty()) return absl::OkStatus();
  const std::string dir = ParentOf(pinned.old_pin);
  return RemoveMade(dir, dir);
}

absl::Status WritePodFiles(Core& core, const SandboxId& id, const SandboxRecord& record) {
  const cri::PodSandboxConfig config = ConfigOf(record);
  const std::string dir = paths::PodDir(core.options, id);
  RETURN_IF_ERROR(os::MakeDirs(dir, 0700));
  ASSIGN_OR_RETURN(os::UniqueFd fd, os::Open(dir, O_RDONLY | O_DIRECTORY));
  ASSIGN_OR_RETURN(const std::string resolv, ResolvConf(config));
  RETURN_IF_ERROR(WriteFile(fd.get(), "hostname", absl::StrCat(record.hostname(), "\n")));
  return WriteFile(fd.get(), "resolv.conf", resolv);
}

absl::Status WriteHostsFile(Core& core, const SandboxId& id, const SandboxRecord& record,
                            const std::vector<std::string>& ips) {
  ASSIGN_OR_RETURN(os::UniqueFd fd,
                   os::Open(paths::PodDir(core.options, id), O_RDONLY | O_DIRECTORY));
  if (record.network_path().empty()) {
    ASSIGN_OR_RETURN(const std::string hosts, HostFile("/etc/hosts", kLoopbackHosts));
    return WriteFile(fd.get(), "hosts", hosts);
  }
  std::string hosts = kLoopbackHosts;
  for (const std::string& ip : ips) absl::StrAppend(&hosts, ip, "\t", record.hostname(), "\n");
  return WriteFile(fd.get(), "hosts", hosts);
}

absl::Status RemovePodFiles(Core& core, const SandboxId& id) {
  absl::StatusOr<os::UniqueFd> dirs =
      os::Open(paths::PodDirs(core.options), O_RDONLY | O_DIRECTORY);
  if (os::IsErrno(dirs.status(), ENOENT)) return absl::OkStatus();
  RETURN_IF_ERROR(dirs.status());
  return os::RemoveTree(dirs->get(), id.str());
}

absl::Status ForgetPod(Core& core, const Pod& pod) {
  store::Batch batch;
  batch.Delete(kSandboxKind, pod.id.str());
  RETURN_IF_ERROR(core.store.Commit(batch, store::Sync::kNormal));
  core.pods.Erase(pod.id.str());
  core.pods.names().Release(PodName(ConfigOf(pod.view()->record).metadata()), pod.id.str());
  return absl::OkStatus();
}

}  // namespace berth::sandbox
