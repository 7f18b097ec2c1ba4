// CRI -> OCI "mounts": the file systems of every container, the pod's files, and the request's
// binds. Pure functions: nothing is opened here.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/os/user_namespace.h"
#include "cri.pb.h"
#include "shim/oci/spec.h"

namespace berth::sandbox {

namespace cri = ::runtime::v1;

struct MountOptions {
  std::string pod_dir;      // <data>/sandboxes/<id>, where the pod's own files are
  bool private_ipc = true;  // /dev/shm is the pod's, else the host's
  bool privileged = false;  // /sys and cgroups writable
  bool readonly_rootfs = false;
  os::UserMappings user = {};  // of the pod; empty without a user namespace
  bool has_selinux =
      false;  // then relabelling a volume is not offered; else there is nothing to do
};

// What the mount that a source lies on must be.
enum class Propagation {
  kAny,
  kFromHost,  // shared or a slave: what is mounted on it later reaches the container
  kBothWays,  // shared
};

// A mount whose source the daemon opens as a tree: `host_path`, or the pod's shm when that is
// empty.
struct TreeSource {
  int index = 0;  // into PlannedMounts::mounts
  std::string host_path;
  bool make_missing = false;  // a request's hostPath: made as a directory when absent, as peers do
  Propagation propagation = Propagation::kAny;
};

struct PlannedMounts {
  std::vector<shim::oci::Mount> mounts;  // in the order in which they are to be made
  std::vector<TreeSource> trees;
};

// A request's mount beats a default one on the same path; of several requests on one path the last
// counts; shallower paths come first.
absl::StatusOr<PlannedMounts> PlanMounts(const cri::ContainerConfig& config,
                                         const MountOptions& options);

}  // namespace berth::sandbox
