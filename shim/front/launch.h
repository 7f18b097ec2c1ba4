// From a bundle to what the create stage works with: the root and the sources of bind mounts as
// clones of the host's mounts, namespaces that are named by path, the cgroup's directories.
// Handles; not thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/os/cgroup.h"
#include "base/os/mount.h"
#include "base/os/unique_fd.h"
#include "shim/launch_wire.h"
#include "shim/oci/spec.h"

namespace berth::shim::front {

struct Bundle {
  std::string path;    // absolute
  std::string config;  // the text of config.json
  oci::Spec spec;      // root.path is absolute and without links
};
// InvalidArgument, naming path or JSON path. Makes the bundle the working directory: relative
// sources of mounts and hooks count from there.
absl::StatusOr<Bundle> ReadBundle(const std::string& path);

// The group above those of containers whose spec names none, or one that is not absolute.
constexpr char kDefaultParent[] = "/berth-oci";

// The devices of config-linux.md, "Default Devices", are usable whatever the rules of the spec say,
// and nodes may be made of all: rules that come last. None where the spec has none.
void AllowDefaultDevices(os::CgroupLimits* limits);

// Where a container without linux.cgroupsPath, or with a relative one, goes. InvalidArgument: it
// climbs, or has systemd's form.
absl::StatusOr<std::string> CgroupPathOf(const std::string& id, const std::string& cgroups_path);

struct Launch {
  LaunchDocument document;
  os::DetachedMount root;
  int cgroup_v2_fd = -1;           // -1: there is no v2 tree
  std::vector<os::UniqueFd> held;  // what the document names
};
// Makes nothing that stays. InvalidArgument names the JSON path.
absl::StatusOr<Launch> PrepareLaunch(const std::string& id, const oci::Spec& spec);
// Once the group is there.
absl::Status AddCgroup(const os::CgroupHost& cgroups, const std::string& group, Launch* launch);

}  // namespace berth::shim::front
