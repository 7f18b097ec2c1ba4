#include "shim/create_mounts.h"

#include <errno.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/os/errno_status.h"
#include "base/os/mount.h"
#include "base/os/user_namespace.h"
#include "base/status_macros.h"
#include "shim/mount_options.h"
#include "shim/user_stage.h"

namespace berth::shim {
namespace {

using child::MountPlan;
using Options = std::vector<std::pair<std::string, std::string>>;

// File systems whose instance is made for the container.
constexpr std::array<const char*, 6> kNewTypes = {"tmpfs", "mqueue",    "devpts",
                                                  "proc",  "hugetlbfs", "sysfs"};

// "/a//b/./c/" -> "/a/b/c". InvalidArgument when ".." leads above the root, or it is the root.
absl::StatusOr<std::string> CleanDestination(absl::string_view destination) {
  if (destination.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError("contains a NUL byte");
  }
  std::vector<absl::string_view> parts;
  int depth = 0;
  for (absl::string_view part : absl::StrSplit(destination, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    depth += part == ".." ? -1 : 1;
    if (depth < 0) {
      return absl::InvalidArgumentError(absl::StrCat("climbs out of the root: ", destination));
    }
    parts.push_back(part);
  }
  if (depth == 0) return absl::InvalidArgumentError("must not be the root itself");
  // ".." stays as it is: what it means depends on links, which the child resolves in the root.
  return absl::StrCat("/", absl::StrJoin(parts, "/"));
}

bool IsBind(const oci::Mount& mount) {
  if (mount.type == "bind") return true;
  for (const std::string& option : mount.options) {
    if (option == "bind" || option == "rbind") return true;
  }
  return false;
}

// A fresh /dev is ours to fill; the host's own is not.
bool HasHostDev(const oci::Spec& spec) {
  for (const oci::Mount& mount : spec.mounts) {
    if (!IsBind(mount)) continue;
    const absl::StatusOr<std::string> path = CleanDestination(mount.destination);
    if (path.ok() && *path == "/dev") return true;
  }
  return false;
}

class MountPlanner {
 public:
  MountPlanner(const LaunchDocument& document, const NamespacePlan& namespaces,
               child::PlanBuilder* builder, Options* links)
      : document_(document), namespaces_(namespaces), builder_(builder), links_(links) {
    for (const auto& [index, fd] : document.mount_trees) trees_[index] = fd;
  }

  absl::Status Add(size_t index);
  std::vector<MountPlan> Take() && { return std::move(plans_); }

 private:
  absl::Status AddTree(int tree_fd, const oci::Mount& mount, const std::string& destination,
                       const MountOptions& options);
  absl::Status MapIds(int tree_fd, const oci::Mount& mount, const MountOptions& options);
  absl::Status AddNew(const std::string& type, const std::string& source,
                      const std::string& destination, const MountOptions& options);
  bool IsHosts(const std::string& type) const;
  absl::Status AddCgroups(const std::string& destination, const MountOptions& options);

  const LaunchDocument& document_;
  const NamespacePlan& namespaces_;
  child::PlanBuilder* const builder_;
  Options* const links_;
  std::map<int, int> trees_;
  std::vector<MountPlan> plans_;
};

absl::Status MountPlanner::Add(size_t index) {
  const oci::Mount& mount = document_.spec.mounts[index];
  const std::string path = absl::StrCat("mounts[", index, "]");
  ASSIGN_OR_RETURN_CTX(const std::string destination, CleanDestination(mount.destination),
                       absl::StrCat(path, ".destination"));
  ASSIGN_OR_RETURN_CTX(const MountOptions options, ParseMountOptions(mount.options),
                       absl::StrCat(path, ".options"));
  const auto tree = trees_.find(static_cast<int>(index));
  if (tree != trees_.end()) {
    return Annotate(AddTree(tree->second, mount, destination, options),
                    absl::StrCat(path, ": prepare ", mount.destination));
  }
  if (options.map_ids || !mount.mappings.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".uidMappings: only a bind mount takes mappings"));
  }
  if (IsBind(mount)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".source: no tree was handed over for ", mount.destination));
  }
  if (mount.type == "cgroup" || mount.type == "cgroup2") {
    return Annotate(AddCgroups(destination, options), path);
  }
  if (std::find(kNewTypes.begin(), kNewTypes.end(), mount.type) == kNewTypes.end()) {
    return absl::UnimplementedError(
        absl::StrCat(path, ".type: \"", mount.type, "\": is not offered"));
  }
  return Annotate(AddNew(mount.type, mount.source, destination, options), path);
}

// An id mapping of its own is a user namespace that only the mount holds.
absl::Status MountPlanner::MapIds(int tree_fd, const oci::Mount& mount,
                                  const MountOptions& options) {
  if (mount.mappings.empty()) {
    return options.map_ids ? absl::InvalidArgumentError("option idmap needs uidMappings")
                           : absl::OkStatus();
  }
  const os::UserMappings& pod = document_.spec.linux_.mappings;
  os::UserNamespaces own;
  int user_fd = namespaces_.user_fd;
  if (user_fd < 0 || !(mount.mappings.uids == pod.uids && mount.mappings.gids == pod.gids)) {
    ASSIGN_OR_RETURN_CTX(own, os::MakeUserNamespace(mount.mappings, 0), "map ids");
    user_fd = own.user.get();
  }
  absl::Status mapped = os::SetIdMapping(tree_fd, user_fd, options.map_recursive);
  if (!os::IsErrno(mapped, EINVAL)) return mapped;
  return WithCode(absl::StatusCode::kFailedPrecondition, mapped,
                  absl::StrCat("the file system of ", mount.source, " has no idmapped mounts"));
}

absl::Status MountPlanner::AddTree(int tree_fd, const oci::Mount& mount,
                                   const std::string& destination, const MountOptions& options) {
  if (!options.data.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", options.data.front().first, "\" is no option of a bind mount"));
  }
  struct stat st;
  if (fstat(tree_fd, &st) != 0) return os::ErrnoStatus(errno, "inspect mount tree");
  RETURN_IF_ERROR(MapIds(tree_fd, mount, options));
  if (options.propagation != 0) {
    RETURN_IF_ERROR(
        os::SetMountAttributes(tree_fd, 0, 0, options.propagation, options.propagation_recursive));
  }
  if ((options.set_recursive | options.clear_recursive) != 0) {
    RETURN_IF_ERROR(os::SetMountAttributes(tree_fd, options.set_recursive, options.clear_recursive,
                                           0, /*recursive=*/true));
  }
  if ((options.set | options.clear) != 0) {
    RETURN_IF_ERROR(
        os::SetMountAttributes(tree_fd, options.set, options.clear, 0, /*recursive=*/false));
  }
  MountPlan plan{};
  plan.tree_fd = tree_fd;
  if (!S_ISDIR(st.st_mode)) plan.flags |= child::kTargetIsFile;
  plan.destination = builder_->AddText(destination);
  plans_.push_back(plan);
  return absl::OkStatus();
}

absl::Status MountPlanner::AddNew(const std::string& type, const std::string& source,
                                  const std::string& destination, const MountOptions& options) {
  MountPlan plan{};
  plan.tree_fd = -1;
  plan.destination = builder_->AddText(destination);
  plan.fs_type = builder_->AddText(type);
  Options data = options.data;
  data.emplace_back("source", source.empty() ? type : source);
  plan.options = builder_->AddPairs(data);
  plan.attributes = options.set | options.set_recursive;
  if (options.propagation != MS_PRIVATE) plan.propagation = options.propagation;
  if (type == "tmpfs" && (plan.attributes & MOUNT_ATTR_RDONLY) != 0) {
    // Others are mounted below it first, and their mount points have to be made.
    plan.attributes &= ~static_cast<uint64_t>(MOUNT_ATTR_RDONLY);
    plan.flags |= child::kReadonlyAtEnd;
  }
  if (type == "proc" || type == "sysfs") {
    plan.flags |= child::kNoSymlinks;
    plan.magic = type == "proc" ? PROC_SUPER_MAGIC : SYSFS_MAGIC;
  }
  if (IsHosts(type)) {
    // Its root must not change what is the host's.
    if (type == "sysfs") plan.attributes |= MOUNT_ATTR_RDONLY;
    ASSIGN_OR_RETURN(os::DetachedMount made, os::NewMount(type, data, plan.attributes));
    plan.tree_fd = made.release();  // the child's, by its number; the monitor starts without it
  }
  plans_.push_back(plan);
  return absl::OkStatus();
}

// What shows a namespace that the user namespace does not own can be mounted only from outside.
bool MountPlanner::IsHosts(const std::string& type) const {
  if (namespaces_.user_fd < 0) return false;
  const auto shared = [&](uint64_t flag) { return (namespaces_.all & flag) == 0; };
  return (type == "sysfs" && shared(CLONE_NEWNET)) || (type == "mqueue" && shared(CLONE_NEWIPC)) ||
         (type == "proc" && shared(CLONE_NEWPID)) || type == "hugetlbfs";
}

absl::Status MountPlanner::AddCgroups(const std::string& destination, const MountOptions& options) {
  if ((namespaces_.all & CLONE_NEWCGROUP) == 0) {
    return absl::UnimplementedError(
        "a cgroup mount without a cgroup namespace of its own is not offered");
  }
  MountOptions attributes = options;
  attributes.data.clear();
  if (document_.cgroup_v1.empty()) {
    return AddNew("cgroup2", "cgroup", destination, attributes);
  }
  MountOptions top = attributes;
  top.data = {{"mode", "755"}, {"size", "64k"}};
  RETURN_IF_ERROR(AddNew("tmpfs", "tmpfs", destination, top));
  for (const auto& [controllers, fd] : document_.cgroup_v1) {
    MountOptions hierarchy = attributes;
    std::string name = controllers;
    if (absl::StartsWith(controllers, "name=")) {
      name = controllers.substr(5);
      hierarchy.data = {{"none", ""}, {"name", name}};
    } else {
      for (absl::string_view controller : absl::StrSplit(controllers, ',')) {
        hierarchy.data.emplace_back(std::string(controller), "");
        if (controller == controllers) continue;
        links_->emplace_back(absl::StrCat(destination, "/", controller), controllers);
      }
    }
    RETURN_IF_ERROR(AddNew("cgroup", "cgroup", absl::StrCat(destination, "/", name), hierarchy));
  }
  if (document_.cgroup_v2) {
    return AddNew("cgroup2", "cgroup", absl::StrCat(destination, "/unified"), attributes);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<MountPlan>> PlanMounts(const LaunchDocument& document,
                                                  const NamespacePlan& namespaces,
                                                  child::PlanBuilder* builder, Options* links) {
  MountPlanner planner(document, namespaces, builder, links);
  for (size_t i = 0; i < document.spec.mounts.size(); ++i) RETURN_IF_ERROR(planner.Add(i));
  return std::move(planner).Take();
}

absl::StatusOr<std::vector<child::DevicePlan>> PlanDevices(const oci::Spec& spec,
                                                           const NamespacePlan& namespaces,
                                                           child::PlanBuilder* builder) {
  std::vector<child::DevicePlan> plans;
  if (HasHostDev(spec)) return plans;
  // config-linux.md, "Default Devices".
  std::map<std::string, oci::Device> devices;
  const std::pair<const char*, std::pair<int, int>> defaults[] = {
      {"/dev/null", {1, 3}},   {"/dev/zero", {1, 5}},    {"/dev/full", {1, 7}},
      {"/dev/random", {1, 8}}, {"/dev/urandom", {1, 9}}, {"/dev/tty", {5, 0}}};
  for (const auto& [path, numbers] : defaults) {
    devices[path] = {path, 'c', numbers.first, numbers.second, 0666, 0, 0};
  }
  for (const oci::Device& device : spec.linux_.devices) devices[device.path] = device;
  std::optional<HostDevices> nodes;
  if (namespaces.user_fd >= 0) {
    ASSIGN_OR_RETURN(nodes, HostDevices::Open());
  }
  plans.reserve(devices.size());
  for (const auto& [path, device] : devices) {
    const uint32_t type = device.type == 'b' ? S_IFBLK : device.type == 'p' ? S_IFIFO : S_IFCHR;
    const dev_t number =
        makedev(static_cast<unsigned>(device.major), static_cast<unsigned>(device.minor));
    os::DetachedMount node;
    if (nodes.has_value() && type != S_IFIFO) {
      ASSIGN_OR_RETURN(node, nodes->Clone(path, type, number));
    }
    plans.push_back({builder->AddText(path), (device.file_mode & 07777) | type, number, device.uid,
                     device.gid, node.get(), 0});
    (void)node.release();  // as above
  }
  return plans;
}

void AddDeviceLinks(const oci::Spec& spec, Options* links) {
  if (HasHostDev(spec)) return;
  links->emplace_back("/dev/fd", "/proc/self/fd");
  links->emplace_back("/dev/stdin", "/proc/self/fd/0");
  links->emplace_back("/dev/stdout", "/proc/self/fd/1");
  links->emplace_back("/dev/stderr", "/proc/self/fd/2");
  links->emplace_back("/dev/ptmx", "pts/ptmx");
}

}  // namespace berth::shim
