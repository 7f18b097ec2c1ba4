#include "shim/front/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/create_mounts.h"
#include "shim/mount_options.h"
#include "shim/prepare_launch.h"

namespace berth::shim::front {
namespace {

constexpr size_t kMaxConfigSize = 16 << 20;

absl::StatusOr<std::string> RealPath(const std::string& path) {
  char real[PATH_MAX];
  if (realpath(path.c_str(), real) == nullptr) return os::ErrnoStatus(errno, path);
  return std::string(real);
}

// A container at fault is told apart from a host that fails.
absl::Status AsInvalid(const absl::Status& status, absl::string_view where) {
  return WithCode(absl::StatusCode::kInvalidArgument, status, where);
}

absl::Status AddBind(size_t index, const oci::Mount& mount, Launch* launch) {
  const std::string where = absl::StrCat("mounts[", index, "]");
  ASSIGN_OR_RETURN_CTX(const MountOptions options, ParseMountOptions(mount.options),
                       absl::StrCat(where, ".options"));
  const bool recursive =
      std::find(mount.options.begin(), mount.options.end(), "rbind") != mount.options.end();
  absl::StatusOr<os::DetachedMount> tree = os::CloneTree(AT_FDCWD, mount.source, recursive);
  if (!tree.ok()) return AsInvalid(tree.status(), absl::StrCat(where, ".source"));
  if (options.propagation == 0) {
    // Else what the container mounts there would show up on a host whose mounts are shared.
    RETURN_IF_ERROR_CTX(os::SetMountAttributes(tree->get(), 0, 0, MS_PRIVATE, recursive), where);
  }
  launch->document.mount_trees.emplace_back(static_cast<int>(index), tree->get());
  launch->held.push_back(*std::move(tree));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Bundle> ReadBundle(const std::string& path) {
  Bundle bundle;
  absl::StatusOr<std::string> real = RealPath(path.empty() ? "." : path);
  if (!real.ok()) return AsInvalid(real.status(), "bundle");
  bundle.path = *std::move(real);
  if (chdir(bundle.path.c_str()) != 0) {
    return AsInvalid(os::ErrnoStatus(errno, bundle.path), "bundle");
  }
  absl::StatusOr<std::string> config = os::ReadFile("config.json", kMaxConfigSize);
  if (!config.ok()) return AsInvalid(config.status(), absl::StrCat("bundle ", bundle.path));
  bundle.config = *std::move(config);
  ASSIGN_OR_RETURN_CTX(bundle.spec, oci::ParseSpec(bundle.config), "config.json");
  absl::StatusOr<std::string> root = RealPath(bundle.spec.root_path);
  if (!root.ok()) return AsInvalid(root.status(), "config.json: root.path");
  bundle.spec.root_path = *std::move(root);
  return bundle;
}

void AllowDefaultDevices(os::CgroupLimits* limits) {
  if (limits->devices.empty()) return;
  for (const char type : {'c', 'b'}) {
    limits->devices.push_back({true, type, std::nullopt, std::nullopt, "m"});
  }
  constexpr int64_t kAny = -1;
  // null, zero, full, random, urandom; tty, console, ptmx; the slaves of devpts.
  const std::pair<int64_t, int64_t> numbers[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8},     {1, 9},
                                                 {5, 0}, {5, 1}, {5, 2}, {136, kAny}};
  for (const auto& [major, minor] : numbers) {
    limits->devices.push_back(
        {true, 'c', major, minor == kAny ? std::nullopt : std::optional<int64_t>(minor), "rwm"});
  }
}

absl::StatusOr<std::string> CgroupPathOf(const std::string& id, const std::string& cgroups_path) {
  if (cgroups_path.empty()) return absl::StrCat(kDefaultParent, "/", id);
  const std::string where = absl::StrCat("linux.cgroupsPath: ", cgroups_path);
  const std::vector<std::string> fields = absl::StrSplit(cgroups_path, ':');
  if (fields.size() == 3 && !absl::StartsWith(cgroups_path, "/")) {
    return absl::InvalidArgumentError(absl::StrCat(
        where, ": is slice:prefix:name, which goes with --systemd-cgroup; it was not given"));
  }
  std::vector<absl::string_view> parts = absl::StrSplit(cgroups_path, '/', absl::SkipEmpty());
  for (const absl::string_view part : parts) {
    if (part == "." || part == "..") {
      return absl::InvalidArgumentError(absl::StrCat(where, ": must not climb"));
    }
  }
  if (parts.empty()) return absl::InvalidArgumentError(absl::StrCat(where, ": names no group"));
  return absl::StrCat(absl::StartsWith(cgroups_path, "/") ? "" : kDefaultParent, "/",
                      absl::StrJoin(parts, "/"));
}

absl::StatusOr<Launch> PrepareLaunch(const std::string& id, const oci::Spec& spec) {
  Launch launch;
  launch.document.container_id = id;
  launch.document.spec = spec;
  RETURN_IF_ERROR(PrepareNamespaces(&launch.document, &launch.held));
  absl::StatusOr<os::DetachedMount> root =
      os::CloneTree(AT_FDCWD, spec.root_path, /*recursive=*/true);
  if (!root.ok()) return AsInvalid(root.status(), "root.path");
  launch.root = *std::move(root);
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    if (!IsBind(spec.mounts[i]) || IsRemount(spec.mounts[i])) continue;
    RETURN_IF_ERROR(AddBind(i, spec.mounts[i], &launch));
  }
  return launch;
}

absl::Status AddCgroup(const os::CgroupHost& cgroups, const std::string& group, Launch* launch) {
  const auto open = [&](const std::string& root) -> absl::StatusOr<int> {
    ASSIGN_OR_RETURN(os::UniqueFd fd, os::Open(root + group, O_RDONLY | O_DIRECTORY));
    launch->held.push_back(std::move(fd));
    return launch->held.back().get();
  };
  for (const auto& [controllers, root] : cgroups.v1_roots()) {
    ASSIGN_OR_RETURN(const int fd, open(root));
    launch->document.cgroup_v1.emplace_back(controllers, fd);
  }
  if (cgroups.v2_root().empty()) return absl::OkStatus();
  launch->document.cgroup_v2 = true;
  ASSIGN_OR_RETURN(launch->cgroup_v2_fd, open(cgroups.v2_root()));
  return absl::OkStatus();
}

}  // namespace berth::shim::front
