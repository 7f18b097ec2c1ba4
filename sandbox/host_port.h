// HostPort: the kernel as sandbox/ sees it (pinned namespaces, cgroups, mounts), so that lifecycle
// logic is tested without one. The real one is host_port.cc over base/os.
// Implementations are thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/os/cgroup.h"
#include "base/os/pod_namespaces.h"
#include "shim/oci/spec.h"

namespace berth::sandbox {

// What does not change while this process runs.
struct HostFacts {
  std::string boot_id;
  std::string hostname;
  uint64_t capabilities = 0;     // of this process's bounding set: what "all" can mean
  int lowest_oom_score_adj = 0;  // that a child may be given
  bool has_apparmor = false;
  bool has_selinux = false;          // in force, permissive or not
  bool has_user_namespaces = false;  // with idmapped layers: Linux 5.19
  os::CgroupLayout cgroup_layout = os::CgroupLayout::kV2;
};
absl::StatusOr<HostFacts> ReadHostFacts();

// Where a pod's namespaces are.
struct PinnedPod {
  std::string pod;
  std::string network_path;  // "" = host network
  std::string old_pin;       // made before 0.2: a pin of its own; else ""
};

class HostPort {
 public:
  virtual ~HostPort() = default;

  // Their contracts: base/os/pod_namespaces.h.
  virtual absl::Status PinNamespaces(const std::string& pod,
                                     const os::PodNamespaceOptions& options) = 0;
  virtual absl::Status UnpinNamespaces(const PinnedPod& pod) = 0;
  virtual absl::StatusOr<os::PodNamespaces> OpenNamespaces(const PinnedPod& pod) = 0;
  // Names of the pods that have namespaces pinned here, half-made ones too.
  virtual std::vector<std::string> PinnedPods() = 0;
  virtual bool IsNetworkPinned(const std::string& network_path) = 0;

  // Of that very process; NotFound when it has ended.
  virtual absl::StatusOr<os::UniqueFd> OpenPidNamespace(pid_t pid, uint64_t start_time) = 0;

  // Of each hierarchy the topmost directory that `path` lacks there.
  virtual std::vector<std::string> MissingCgroups(const std::string& path) = 0;
  virtual absl::Status CreateCgroup(const std::string& path) = 0;
  virtual absl::Status KillCgroup(const std::string& path, Deadline deadline) = 0;
  // Removes `path`, and its parents up to those in `made` (from MissingCgroups) that are empty.
  // Groups that others made stay.
  virtual absl::Status RemoveCgroup(const std::string& path, const std::vector<std::string>& made,
                                    Deadline deadline) = 0;
  // Names of the groups directly below `path`, of all hierarchies.
  virtual std::vector<std::string> ListCgroups(const std::string& path) = 0;
  // Path of the group with this last component, wherever it is; "" when there is none.
  virtual std::string FindCgroup(const std::string& name) = 0;

  // A detached clone of what is mounted at the host's `path`; symbolic links are followed.
  virtual absl::StatusOr<os::DetachedMount> CloneTree(const std::string& path) = 0;
  // Every device node below /dev that a privileged container is given.
  virtual absl::StatusOr<std::vector<shim::oci::Device>> Devices() = 0;
};

// Opens or makes the pin table of `run_dir` and the directory of network pins. `cgroups` is not
// owned.
absl::StatusOr<std::unique_ptr<HostPort>> MakeHostPort(const os::CgroupHost* cgroups,
                                                       const std::string& run_dir,
                                                       const std::string& netns_dir);

}  // namespace berth::sandbox
