#include "sandbox/spec_mounts.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "sandbox/text_rules.h"
#include "sandbox/unimplemented.h"

namespace berth::sandbox {
namespace {

using shim::oci::Mount;

struct Planned {
  Mount mount;
  bool is_tree = false;
  TreeSource tree;
};

// "/a/./b//" -> "/a/b". ".." stays: the shim resolves inside the root.
std::string Clean(const std::string& path) {
  std::string clean;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part != ".") absl::StrAppend(&clean, "/", part);
  }
  return clean.empty() ? "/" : clean;
}

size_t Depth(const std::string& path) { return std::count(path.begin(), path.end(), '/'); }

Planned Bind(const std::string& target, const std::string& source, bool readonly, bool make_missing,
             std::vector<std::string> more = {}) {
  Planned planned;
  planned.mount = Mount{target, "bind", source, {"rbind", "rprivate", readonly ? "ro" : "rw"}};
  for (std::string& option : more) planned.mount.options.push_back(std::move(option));
  planned.is_tree = true;
  planned.tree.host_path = source;
  planned.tree.make_missing = make_missing;
  return planned;
}

std::vector<Planned> DefaultMounts(const MountOptions& o) {
  const char* const access = o.privileged ? "rw" : "ro";
  const bool ro = o.readonly_rootfs;
  std::vector<Planned> defaults = {
      {Mount{"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}}},
      {Mount{"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}}},
      {Mount{"/dev/pts",
             "devpts",
             "devpts",
             {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}}},
      {Mount{"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}}},
      {Mount{"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access}}},
      {Mount{
          "/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", access}}},
      Bind("/dev/shm", o.private_ipc ? "" : "/dev/shm", false, false,
           {"nosuid", "nodev", "noexec"}),
      Bind("/etc/hosts", absl::StrCat(o.pod_dir, "/hosts"), ro, false),
      Bind("/etc/hostname", absl::StrCat(o.pod_dir, "/hostname"), ro, false),
      Bind("/etc/resolv.conf", absl::StrCat(o.pod_dir, "/resolv.conf"), ro, false),
  };
  return defaults;
}

absl::Status CheckOffered(const std::string& field, const cri::Mount& mount) {
  if (mount.propagation() != cri::PROPAGATION_PRIVATE) {
    return NotOffered(absl::StrCat(field, ".propagation"),
                      cri::MountPropagation_Name(mount.propagation()));
  }
  if (mount.uidmappings_size() > 0 || mount.gidmappings_size() > 0) {
    return NotOffered(absl::StrCat(field, ".uidMappings/gidMappings"),
                      absl::StrCat("of \"", mount.host_path(), "\""));
  }
  if (mount.recursive_read_only()) {
    return NotOffered(absl::StrCat(field, ".recursive_read_only"), "true", "RROUnsupported");
  }
  if (mount.has_image() || !mount.image_sub_path().empty()) {
    return NotOffered(absl::StrCat(field, ".image"),
                      absl::StrCat("\"", mount.image().image(), "\""));
  }
  if (mount.mount_options_size() > 0) {
    return NotOffered(absl::StrCat(field, ".mount_options"),
                      absl::StrCat("\"", mount.mount_options(0), "\""));
  }
  if (mount.selinux_relabel()) return NotOffered(absl::StrCat(field, ".selinux_relabel"), "true");
  return absl::OkStatus();
}

absl::StatusOr<Planned> FromRequest(const std::string& field, const cri::Mount& mount) {
  RETURN_IF_ERROR(CheckOffered(field, mount));
  for (const auto& [name, path] : {std::pair(".container_path", &mount.container_path()),
                                   std::pair(".host_path", &mount.host_path())}) {
    if (path->empty() || (*path)[0] != '/' || HasControlByte(*path)) {
      return Invalid(absl::StrCat(field, name),
                     absl::StrCat("\"", *path, "\" is not an absolute path"));
    }
  }
  const std::string target = Clean(mount.container_path());
  if (target == "/") return Invalid(absl::StrCat(field, ".container_path"), "must not be the root");
  return Bind(target, mount.host_path(), mount.readonly(), true);
}

}  // namespace

absl::StatusOr<PlannedMounts> PlanMounts(const cri::ContainerConfig& config,
                                         const MountOptions& options) {
  std::vector<Planned> all = DefaultMounts(options);
  for (int i = 0; i < config.mounts_size(); ++i) {
    ASSIGN_OR_RETURN(Planned planned,
                     FromRequest(absl::StrCat("config.mounts[", i, "]"), config.mounts(i)));
    const std::string target = planned.mount.destination;
    all.erase(std::remove_if(all.begin(), all.end(),
                             [&](const Planned& p) { return p.mount.destination == target; }),
              all.end());
    all.push_back(std::move(planned));
  }
  std::stable_sort(all.begin(), all.end(), [](const Planned& a, const Planned& b) {
    return Depth(a.mount.destination) < Depth(b.mount.destination);
  });
  PlannedMounts plan;
  for (Planned& planned : all) {
    if (planned.is_tree) {
      planned.tree.index = static_cast<int>(plan.mounts.size());
      plan.trees.push_back(std::move(planned.tree));
    }
    plan.mounts.push_back(std::move(planned.mount));
  }
  return plan;
}

}  // namespace berth::sandbox
