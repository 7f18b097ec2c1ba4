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
#include "base/os/security_module.h"
#include "base/os/user_namespace.h"
#include "base/status_macros.h"
#include "shim/mount_options.h"
#include "shim/user_stage.h"

namespace berth::shim {
namespace {

using child::MountPlan;
using Options = std::vector<std::pair<std::string, std::string>>;

constexpr int64_t kMaxMajor = 4095;  // MINORBITS of the kernel is 20
constexpr int64_t kMaxMinor = 1048575;

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
  absl::Status PlaceTree(int tree_fd, const std::string& destination, const MountOptions& options);
  absl::Status AddRemount(const oci::Mount& mount, const std::string& destination,
                          const MountOptions& options);
  absl::Status MapIds(int tree_fd, const oci::Mount& mount, const MountOptions& options);
  absl::Status AddNew(const std::string& type, const std::string& source,
                      const std::string& destination, const MountOptions& options);
  bool IsHosts(const std::string& type) const;
  absl::Status AddCgroups(int index, const std::string& destination, const MountOptions& options);
  absl::Status AddCgroupTrees(int index, const std::string& destination,
                              const MountOptions& attributes);
  void LinkControllers(const std::string& destination, const std::string& controllers);

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
  if (options.copy_up && mount.type != "tmpfs") {
    return absl::InvalidArgumentError(absl::StrCat(path, ".options: tmpcopyup is tmpfs's"));
  }
  if (options.remount) return Annotate(AddRemount(mount, destination, options), path);
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
    return Annotate(AddCgroups(static_cast<int>(index), destination, options), path);
  }
  if (mount.type.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ".type: is required"));
  }
  return Annotate(AddNew(mount.type, mount.source, destination, options), path);
}

absl::Status MountPlanner::AddRemount(const oci::Mount& mount, const std::string& destination,
                                      const MountOptions& options) {
  MountPlan plan{};
  plan.tree_fd = -1;
  plan.flags = child::kRemount;
  plan.destination = builder_->AddText(destination);
  plan.attributes = options.set;
  plan.clear = options.clear;
  plan.attributes_recursive = options.set_recursive;
  plan.clear_recursive = options.clear_recursive;
  plan.propagation = options.propagation;
  if (!IsBind(mount)) {
    // As mount(2) has it: read-only is then a property of the file system, too.
    Options data = options.data;
    for (const std::string& flag : options.super_flags) data.emplace_back(flag, "");
    if ((options.set & MOUNT_ATTR_RDONLY) != 0) data.emplace_back("ro", "");
    if ((options.clear & MOUNT_ATTR_RDONLY) != 0) data.emplace_back("rw", "");
    if (!data.empty()) plan.flags |= child::kReconfigure;
    plan.options = builder_->AddPairs(data);
  }
  plans_.push_back(plan);
  return absl::OkStatus();
}

// An id mapping of its own is a user namespace that only the mount holds.
absl::Status MountPlanner::MapIds(int tree_fd, const oci::Mount& mount,
                                  const MountOptions& options) {
  if (mount.mappings.empty() && options.map_ids && namespaces_.user_fd >= 0) {
    // The container's own mapping (config.md, "idmap").
    return os::SetIdMapping(tree_fd, namespaces_.user_fd, options.map_recursive);
  }
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
  const std::vector<int>& made = document_.made_mounts;
  const bool is_new =
      std::any_of(made.begin(), made.end(), [&](int index) { return trees_.at(index) == tree_fd; });
  if (!is_new && !options.data.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", options.data.front().first, "\" is no option of a bind mount"));
  }
  RETURN_IF_ERROR(MapIds(tree_fd, mount, options));
  return PlaceTree(tree_fd, destination, options);
}

// The tree with its attributes at its destination.
absl::Status MountPlanner::PlaceTree(int tree_fd, const std::string& destination,
                                     const MountOptions& options) {
  struct stat st;
  if (fstat(tree_fd, &st) != 0) return os::ErrnoStatus(errno, "inspect mount tree");
  for (const auto& [type, recursive] : options.propagations) {
    RETURN_IF_ERROR(os::SetMountAttributes(tree_fd, 0, 0, type, recursive));
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
  for (const std::string& flag : options.super_flags) data.emplace_back(flag, "");
  data.emplace_back("source", source.empty() ? type : source);
  const std::string& label = document_.spec.linux_.mount_label;
  if (!label.empty() && (type == "tmpfs" || type == "devpts" || type == "mqueue")) {
    data.emplace_back("context", label);
  }
  plan.options = builder_->AddPairs(data);
  plan.attributes = options.set | options.set_recursive;
  if (options.propagation != MS_PRIVATE) plan.propagation = options.propagation;
  if (options.copy_up) {
    plan.flags |= child::kCopyUp;
    const bool has_mode = std::any_of(options.data.begin(), options.data.end(),
                                      [](const auto& pair) { return pair.first == "mode"; });
    if (!has_mode) plan.flags |= child::kCopyMode;
  }
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

// "cpu" -> "cpu,cpuacct": each controller of a hierarchy has a name of its own.
void MountPlanner::LinkControllers(const std::string& destination, const std::string& controllers) {
  if (absl::StartsWith(controllers, "name=")) return;
  for (absl::string_view controller : absl::StrSplit(controllers, ',')) {
    if (controller == controllers) continue;
    links_->emplace_back(absl::StrCat(destination, "/", controller), controllers);
  }
}

// "name=systemd" is shown as "systemd".
std::string DirectoryOf(const std::string& controllers) {
  return absl::StartsWith(controllers, "name=") ? controllers.substr(5) : controllers;
}

// Without a cgroup namespace: the container's own groups, bound.
absl::Status MountPlanner::AddCgroupTrees(int index, const std::string& destination,
                                          const MountOptions& attributes) {
  for (const CgroupTree& tree : document_.cgroup_trees) {
    if (tree.mount != index) continue;
    std::string place = destination;
    if (!document_.cgroup_v1.empty()) {
      absl::StrAppend(&place, "/", tree.name.empty() ? "unified" : DirectoryOf(tree.name));
    }
    RETURN_IF_ERROR(PlaceTree(tree.fd, place, attributes));
    if (!tree.name.empty()) LinkControllers(destination, tree.name);
  }
  return absl::OkStatus();
}

absl::Status MountPlanner::AddCgroups(int index, const std::string& destination,
                                      const MountOptions& options) {
  MountOptions attributes = options;
  attributes.data.clear();
  attributes.super_flags.clear();
  const bool has_namespace = (namespaces_.all & CLONE_NEWCGROUP) != 0;
  if (document_.cgroup_v1.empty()) {
    return has_namespace ? AddNew("cgroup2", "cgroup", destination, attributes)
                         : AddCgroupTrees(index, destination, attributes);
  }
  MountOptions top = attributes;
  top.data = {{"mode", "755"}, {"size", "64k"}};
  RETURN_IF_ERROR(AddNew("tmpfs", "tmpfs", destination, top));
  if (!has_namespace) return AddCgroupTrees(index, destination, attributes);
  for (const auto& [controllers, fd] : document_.cgroup_v1) {
    MountOptions hierarchy = attributes;
    const std::string name = DirectoryOf(controllers);
    if (absl::StartsWith(controllers, "name=")) {
      hierarchy.data = {{"none", ""}, {"name", name}};
    } else {
      for (absl::string_view controller : absl::StrSplit(controllers, ',')) {
        hierarchy.data.emplace_back(std::string(controller), "");
      }
    }
    LinkControllers(destination, controllers);
    RETURN_IF_ERROR(AddNew("cgroup", "cgroup", absl::StrCat(destination, "/", name), hierarchy));
  }
  if (document_.cgroup_v2) {
    return AddNew("cgroup2", "cgroup", absl::StrCat(destination, "/unified"), attributes);
  }
  return absl::OkStatus();
}

// A default device that the spec mounts something else at is the spec's affair.
bool IsMountedOver(const oci::Spec& spec, const std::string& path) {
  return std::any_of(spec.mounts.begin(), spec.mounts.end(), [&](const oci::Mount& mount) {
    const absl::StatusOr<std::string> destination = CleanDestination(mount.destination);
    return destination.ok() && *destination == path;
  });
}

// Each path once: a later one of linux.devices replaces a default one.
absl::StatusOr<std::map<std::string, oci::Device>> AllDevices(const oci::Spec& spec) {
  // config-linux.md, "Default Devices".
  std::map<std::string, oci::Device> devices;
  const std::pair<const char*, std::pair<int, int>> defaults[] = {
      {"/dev/null", {1, 3}},   {"/dev/zero", {1, 5}},    {"/dev/full", {1, 7}},
      {"/dev/random", {1, 8}}, {"/dev/urandom", {1, 9}}, {"/dev/tty", {5, 0}}};
  for (const auto& [path, numbers] : defaults) {
    if (IsMountedOver(spec, path)) continue;
    devices[path] = {path, 'c', numbers.first, numbers.second, 0666, 0, 0};
  }
  const std::vector<oci::Device>& wanted = spec.linux_.devices;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const std::string where = absl::StrCat("linux.devices[", i, "]");
    ASSIGN_OR_RETURN_CTX(const std::string path, CleanDestination(wanted[i].path),
                         absl::StrCat(where, ".path"));
    if (!absl::StrContains("cbup", wanted[i].type)) {
      return absl::InvalidArgumentError(absl::StrCat(where, ".type: unknown"));
    }
    if (wanted[i].type != 'p' && (wanted[i].major < 0 || wanted[i].major > kMaxMajor ||
                                  wanted[i].minor < 0 || wanted[i].minor > kMaxMinor)) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ".major: ", wanted[i].major, ":", wanted[i].minor, " is no device"));
    }
    devices[path] = wanted[i];
  }
  return devices;
}

}  // namespace

bool HasHostDev(const oci::Spec& spec) {
  for (const oci::Mount& mount : spec.mounts) {
    if (!IsBind(mount)) continue;
    const absl::StatusOr<std::string> path = CleanDestination(mount.destination);
    if (path.ok() && *path == "/dev") return true;
  }
  return false;
}

bool IsBind(const oci::Mount& mount) {
  if (mount.type == "bind") return true;
  for (const std::string& option : mount.options) {
    if (option == "bind" || option == "rbind") return true;
  }
  return false;
}

bool IsRemount(const oci::Mount& mount) {
  return std::find(mount.options.begin(), mount.options.end(), "remount") != mount.options.end();
}

bool IsMadeInside(absl::string_view fs_type) {
  return fs_type.empty() ||
         std::find(kNewTypes.begin(), kNewTypes.end(), fs_type) != kNewTypes.end();
}

Options FileSystemOptions(const oci::Mount& mount, const MountOptions& options) {
  Options data = options.data;
  for (const std::string& flag : options.super_flags) data.emplace_back(flag, "");
  // A device that cannot be written takes no other file system than a read-only one.
  if (((options.set | options.set_recursive) & MOUNT_ATTR_RDONLY) != 0) data.emplace_back("ro", "");
  data.emplace_back("source", mount.source.empty() ? mount.type : mount.source);
  return data;
}

absl::StatusOr<std::vector<MountPlan>> PlanMounts(const LaunchDocument& document,
                                                  const NamespacePlan& namespaces,
                                                  child::PlanBuilder* builder, Options* links) {
  if (!document.spec.linux_.mount_label.empty() && !os::SelinuxIsOn()) {
    return absl::InvalidArgumentError("linux.mountLabel: SELinux is not on on this host");
  }
  MountPlanner planner(document, namespaces, builder, links);
  for (size_t i = 0; i < document.spec.mounts.size(); ++i) RETURN_IF_ERROR(planner.Add(i));
  return std::move(planner).Take();
}

absl::StatusOr<std::vector<child::DevicePlan>> PlanDevices(const oci::Spec& spec,
                                                           const NamespacePlan& namespaces,
                                                           const std::string& directory,
                                                           child::PlanBuilder* builder) {
  std::vector<child::DevicePlan> plans;
  if (HasHostDev(spec)) return plans;
  ASSIGN_OR_RETURN(const auto devices, AllDevices(spec));
  std::optional<HostDevices> nodes;
  if (namespaces.user_fd >= 0) {
    ASSIGN_OR_RETURN(nodes, HostDevices::Open(directory));
  }
  plans.reserve(devices.size());
  for (const auto& [path, device] : devices) {
    const uint32_t type = device.type == 'b' ? S_IFBLK : device.type == 'p' ? S_IFIFO : S_IFCHR;
    const dev_t number = type == S_IFIFO ? 0
                                         : makedev(static_cast<unsigned>(device.major),
                                                   static_cast<unsigned>(device.minor));
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
