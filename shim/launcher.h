// Launcher: starts one berth-shim per container from one sealed memfd of the binary, and the init
// of a pod that shares its PID namespace. Thread-safe. The shim outlives this object and the
// daemon: it is a resource, found again through its run directory (<run>/containers/<id>) and its
// cgroup (<cgroup root>/shims/<id>).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/os/cgroup.h"
#include "base/os/spawn.h"
#include "base/os/unique_fd.h"
#include "shim/oci/spec.h"
#include "shim/seccomp_filter.h"

namespace berth::shim {

// The root file system as an overlay. Paths are relative to the data directory.
struct OverlayRoot {
  std::vector<std::string> lowers;  // topmost layer first; at least one
  std::string upper;                // made by the caller, empty
  std::string work;                 // beside it, same file system
  bool is_volatile = true;          // no syncfs of the host's disk at unmount
};

// What the shim lets a container write to its log; 0: no limit. docs/operations.md,
// [container_log].
struct LogLimits {
  uint64_t file_bytes = 0;   // of one file, until it is rotated
  uint64_t rate_bytes = 0;   // a second
  uint64_t burst_bytes = 0;  // at once, with a rate
};

struct Launch {
  ContainerId id;
  oci::Spec spec;  // spec.root_path is ignored: the overlay is the root
  OverlayRoot root;
  // {index into spec.mounts, detached mount}: that mount's source is this tree, not its `source`.
  std::vector<std::pair<int, os::UniqueFd>> mount_trees;
  // {namespace type, fd}: the container joins it; listed in spec.linux_.namespaces with path "".
  std::vector<std::pair<oci::NamespaceType, os::UniqueFd>> namespaces;
  SeccompFilter seccomp;
  std::string bundle;            // absolute path of the bundle directory; "" = none
  os::UniqueFd log;              // CRI log file, opened O_APPEND; invalid = no log
  bool keep_stdin_open = false;  // ContainerConfig.stdin
  LogLimits log_limits;
};

struct Launched {
  pid_t shim_pid = -1;
  uint64_t shim_start_time = 0;  // /proc/PID/stat field 22
  pid_t init_pid = -1;           // of the container's first process, in the host's pid namespace
  uint64_t init_start_time = 0;
};

// The init of a pod: PID 1 of a PID namespace that the pod's containers join (monitor/pod_init.h).
struct PodInitLaunch {
  std::string cgroups_path;  // a leaf of its own, outside of the containers' groups
  // The pod's own, to be joined; with its user namespace, where it has one, which then owns the new
  // PID namespace.
  std::vector<std::pair<oci::NamespaceType, os::UniqueFd>> namespaces;
};

struct PodInit {
  pid_t pid = -1;  // in the host's pid namespace
  uint64_t start_time = 0;
};

class Launcher {
 public:
  struct Options {
    std::string shim_path;  // the berth-shim binary
    std::string data_dir;
    std::string run_dir;
    std::string cgroup_root;   // "/berth": shims live in <cgroup_root>/shims/<id>
    int oom_score_adj = -998;  // clamped to what this host allows
  };
  // Copies the binary to a sealed memfd and makes the holder mount namespace.
  static absl::StatusOr<std::unique_ptr<Launcher>> Open(Options options, os::CgroupHost host);
  virtual ~Launcher() = default;

  // Makes the shim's cgroup and run directory, starts it, and returns when the container's first
  // process waits at the gate just before exec. On error nothing is left: shim, child, cgroups,
  // run directory. InvalidArgument: the spec or a path in it; Internal: a kernel step, named.
  virtual absl::StatusOr<Launched> Create(Launch launch, Deadline deadline) = 0;

  // Removes what a shim leaves: kills what may remain of it and of the container, then the run
  // directory and both cgroups. Idempotent; for a half-made container too.
  virtual absl::Status Remove(const ContainerId& id, const std::string& cgroups_path,
                              Deadline deadline) = 0;

  // Makes the cgroup and starts the init in it. On error nothing is left.
  virtual absl::StatusOr<PodInit> StartPodInit(PodInitLaunch launch, Deadline deadline) = 0;
  // Kills it, and with it all that is left in its PID namespace, and removes the cgroup.
  // Idempotent; for a half-made one too. Containers of the pod go first: a PID namespace ends when
  // each of its zombies is reaped, and their first processes are for their shims to reap.
  virtual absl::Status RemovePodInit(const std::string& cgroups_path, Deadline deadline) = 0;

  virtual std::string RunDir(const ContainerId& id) const = 0;
  // The prepared mount namespace that shims are set up in (base/os/namespaces.h).
  virtual int holder_namespace() const = 0;
};

}  // namespace berth::shim
