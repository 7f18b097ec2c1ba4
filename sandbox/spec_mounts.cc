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

Planned Bind(const std::string& target, const std::string& source, std::vector<std::string> options,
             bool make_missing) {
  Planned planned;
  planned.mount = Mount{target, "bind", source, std::move(options), {}};
  planned.mount.options.insert(planned.mount.options.begin(), "rbind");
  planned.is_tree = true;
  planned.tree.host_path = source;
  planned.tree.make_missing = make_missing;
  return planned;
}

// A file of the pod; in a user namespace its owner is the root there too.
Planned PodFile(const std::string& target, const std::string& source, const MountOptions& o) {
  Planned planned = Bind(target, source, {"rprivate", o.readonly_rootfs ? "ro" : "rw"}, false);
  planned.mount.mappings = o.user;
  return planned;
}

std::vector<Planned> DefaultMounts(const MountOptions& o) {
  const char* const access = o.privileged ? "rw" : "ro";
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
      Bind("/dev/shm", o.private_ipc ? "" : "/dev/shm",
           {"rprivate", "rw", "nosuid", "nodev", "noexec"}, false),
      PodFile("/etc/hosts", absl::StrCat(o.pod_dir, "/hosts"), o),
      PodFile("/etc/hostname", absl::StrCat(o.pod_dir, "/hostname"), o),
      PodFile("/etc/resolv.conf", absl::StrCat(o.pod_dir, "/resolv.conf"), o),
  };
  return defaults;
}

absl::Status CheckOffered(const std::string& field, const cri::Mount& mount, bool has_selinux) {
  if (mount.has_image() || !mount.image_sub_path().empty()) {
    return NotOffered(absl::StrCat(field, ".image"),
                      absl::StrCat("\"", mount.image().image(), "\""));
  }
  if (mount.mount_options_size() > 0) {
    return NotOffered(absl::StrCat(field, ".mount_options"),
                      absl::StrCat("\"", mount.mount_options(0), "\""));
  }
  if (mount.selinux_relabel() && has_selinux) {
    return NotOffered(absl::StrCat(field, ".selinux_relabel"), "true");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<os::IdMapping>> Mapping(
    const std::string& field, const google::protobuf::RepeatedPtrField<cri::IDMapping>& mappings) {
  std::vector<os::IdMapping> out;
  for (const cri::IDMapping& m : mappings) {
    if (m.length() == 0) return Invalid(field, "length must not be 0");
    for (const uint32_t first : {m.container_id(), m.host_id()}) {
      // 2^32-1 is no id.
      if (uint64_t{first} + m.length() > UINT32_MAX)
        return Invalid(field, "reaches past the last id");
    }
    out.push_back({m.container_id(), m.host_id(), m.length()});
  }
  return out;
}

absl::StatusOr<os::UserMappings> Mappings(const std::string& field, const cri::Mount& mount) {
  os::UserMappings mappings;
  ASSIGN_OR_RETURN(mappings.uids,
                   Mapping(absl::StrCat(field, ".uidMappings"), mount.uidmappings()));
  ASSIGN_OR_RETURN(mappings.gids,
                   Mapping(absl::StrCat(field, ".gidMappings"), mount.gidmappings()));
  if (mappings.uids.empty() != mappings.gids.empty()) {
    return Invalid(absl::StrCat(field, ".uidMappings/gidMappings"),
                   absl::StrCat("one without the other, for \"", mount.host_path(), "\""));
  }
  return mappings;
}

struct HowShared {
  const char* option;
  Propagation source;
};

absl::StatusOr<HowShared> ToPropagation(const std::string& field, const cri::Mount& mount) {
  switch (mount.propagation()) {
    case cri::PROPAGATION_PRIVATE:
      return HowShared{"rprivate", Propagation::kAny};
    case cri::PROPAGATION_HOST_TO_CONTAINER:
      return HowShared{"rslave", Propagation::kFromHost};
    case cri::PROPAGATION_BIDIRECTIONAL:
      return HowShared{"rshared", Propagation::kBothWays};
    default:  // proto3 enums are open: another number may arrive
      return Invalid(absl::StrCat(field, ".propagation"),
                     absl::StrCat(static_cast<int>(mount.propagation()), " is no propagation"));
  }
}

absl::StatusOr<const char*> Access(const std::string& field, const cri::Mount& mount) {
  if (!mount.recursive_read_only()) return mount.readonly() ? "ro" : "rw";
  if (!mount.readonly() || mount.propagation() != cri::PROPAGATION_PRIVATE) {
    return Invalid(
        absl::StrCat(field, ".recursive_read_only"),
        absl::StrCat("needs readonly and private propagation, for \"", mount.host_path(), "\""));
  }
  return "rro";
}

absl::StatusOr<Planned> FromRequest(const std::string& field, const cri::Mount& mount,
                                    const MountOptions& options) {
  RETURN_IF_ERROR(CheckOffered(field, mount, options.has_selinux));
  for (const auto& [name, path] : {std::pair(".container_path", &mount.container_path()),
                                   std::pair(".host_path", &mount.host_path())}) {
    if (path->empty() || (*path)[0] != '/' || HasControlByte(*path)) {
      return Invalid(absl::StrCat(field, name),
                     absl::StrCat("\"", *path, "\" is not an absolute path"));
    }
  }
  const std::string target = Clean(mount.container_path());
  if (target == "/") return Invalid(absl::StrCat(field, ".container_path"), "must not be the root");
  ASSIGN_OR_RETURN(const HowShared shared, ToPropagation(field, mount));
  // The tree comes by fd and stays a peer of the host's mount, where a copied table would not.
  if (shared.source == Propagation::kBothWays && !options.user.empty()) {
    return Invalid(absl::StrCat(field, ".propagation"),
                   absl::StrCat("BIDIRECTIONAL would let the root of a user namespace mount and "
                                "unmount on the host, for \"",
                                mount.host_path(), "\""));
  }
  ASSIGN_OR_RETURN(const char* const access, Access(field, mount));
  Planned planned = Bind(target, mount.host_path(), {shared.option, access}, true);
  planned.tree.propagation = shared.source;
  ASSIGN_OR_RETURN(planned.mount.mappings, Mappings(field, mount));
  return planned;
}

}  // namespace

absl::StatusOr<PlannedMounts> PlanMounts(const cri::ContainerConfig& config,
                                         const MountOptions& options) {
  std::vector<Planned> all = DefaultMounts(options);
  for (int i = 0; i < config.mounts_size(); ++i) {
    ASSIGN_OR_RETURN(Planned planned, FromRequest(absl::StrCat("config.mounts[", i, "]"),
                                                  config.mounts(i), options));
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
