// Runtime: pods and containers. One method per CRI verb; the file that implements a long verb is
// named after it (run_pod_sandbox.cc, stop_container.cc). Requests and replies are CRI messages as
// plain values.
//
// Thread-safe. Lifecycle calls on one pod take its operation slot in turn; List*, *Status read an
// immutable snapshot and never wait. Calls that may wait long: StopContainer, StopPodSandbox,
// ExecSync (up to their own time limits).
// Errors: see STYLE.md section 5; an unknown id is NotFound (success for Stop and Remove).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/os/cgroup.h"
#include "base/store/store.h"
#include "cni/network.h"
#include "cri.pb.h"
#include "image/image_store.h"
#include "shim/launcher.h"
#include "shim/oci/spec.h"

namespace berth::sandbox {

namespace cri = ::runtime::v1;

class SeccompSource;  // sandbox/seccomp_source.h

struct RuntimeOptions {
  std::string data_dir;
  std::string run_dir;
  std::string netns_dir = "/run/netns";  // where network namespaces are pinned
  std::string cgroup_root = "/berth";
  std::string default_runtime_handler = "berth";
  uint64_t shm_bytes = 64 << 20;
  bool volatile_overlays = true;
  shim::LogLimits log_limits;  // of every container
  absl::Duration create_timeout = absl::Seconds(60);
  absl::Duration attach_timeout = absl::Minutes(5);  // all plugins of a pod's network together
  absl::Duration detach_timeout = absl::Minutes(1);
  absl::Duration kill_timeout = absl::Seconds(30);  // SIGKILL to empty cgroup
  // For every container. Start refuses a hard limit above the daemon's own.
  std::vector<shim::oci::Rlimit> default_rlimits;
  // Borrowed, outlives the runtime. Without one RuntimeDefault seccomp is refused.
  SeccompSource* seccomp = nullptr;
};

struct RuntimeCounts {
  int sandboxes = 0;
  int containers = 0;
  int running = 0;
  uint64_t quarantined = 0;
};

// What a running container's log had no room for.
struct LogDrops {
  std::string container;
  uint64_t lines = 0;
  uint64_t bytes = 0;
};

class Runtime {
 public:
  // Borrowed: `store`, `images`, `launcher`, `network` outlive it. Reads the records, reconnects to
  // live shims, takes the recorded exit of dead ones, undoes what a kill left half-made. Lists are
  // complete when this returns.
  static absl::StatusOr<std::unique_ptr<Runtime>> Start(
      RuntimeOptions options, const os::CgroupHost& cgroups, store::Store* store,
      image::ImageStore* images, shim::Launcher* launcher, cni::Network* network);
  virtual ~Runtime() = default;

  virtual absl::StatusOr<cri::RunPodSandboxResponse> RunPodSandbox(
      const cri::RunPodSandboxRequest& request) = 0;
  virtual absl::Status StopPodSandbox(const cri::StopPodSandboxRequest& request) = 0;
  virtual absl::Status RemovePodSandbox(const cri::RemovePodSandboxRequest& request) = 0;
  virtual absl::StatusOr<cri::PodSandboxStatusResponse> PodSandboxStatus(
      const cri::PodSandboxStatusRequest& request) = 0;
  virtual absl::StatusOr<cri::ListPodSandboxResponse> ListPodSandbox(
      const cri::ListPodSandboxRequest& request) = 0;

  virtual absl::StatusOr<cri::CreateContainerResponse> CreateContainer(
      const cri::CreateContainerRequest& request) = 0;
  virtual absl::Status StartContainer(const cri::StartContainerRequest& request) = 0;
  virtual absl::Status StopContainer(const cri::StopContainerRequest& request) = 0;
  virtual absl::Status RemoveContainer(const cri::RemoveContainerRequest& request) = 0;
  virtual absl::StatusOr<cri::ContainerStatusResponse> ContainerStatus(
      const cri::ContainerStatusRequest& request) = 0;
  virtual absl::StatusOr<cri::ListContainersResponse> ListContainers(
      const cri::ListContainersRequest& request) = 0;
  // Everything that the command started is killed when `cancel` is set.
  virtual absl::StatusOr<cri::ExecSyncResponse> ExecSync(const cri::ExecSyncRequest& request,
                                                         const Cancel& cancel) = 0;
  virtual absl::Status ReopenContainerLog(const cri::ReopenContainerLogRequest& request) = 0;
  virtual absl::Status UpdateContainerResources(
      const cri::UpdateContainerResourcesRequest& request) = 0;
  // These read kernel files: quick, but not for a thread that must not wait.
  virtual absl::StatusOr<cri::ContainerStatsResponse> ContainerStats(
      const cri::ContainerStatsRequest& request) = 0;
  virtual absl::StatusOr<cri::ListContainerStatsResponse> ListContainerStats(
      const cri::ListContainerStatsRequest& request) = 0;
  virtual absl::StatusOr<cri::PodSandboxStatsResponse> PodSandboxStats(
      const cri::PodSandboxStatsRequest& request) = 0;
  virtual absl::StatusOr<cri::ListPodSandboxStatsResponse> ListPodSandboxStats(
      const cri::ListPodSandboxStatsRequest& request) = 0;

  virtual RuntimeCounts Counts() const = 0;
  // Of the containers that lost something. Asks each shim, for at most a second in all: not for a
  // thread that must not wait.
  virtual std::vector<LogDrops> DroppedLogs() const = 0;
  // Whether a pod can be given a network; else why not.
  virtual absl::Status NetworkReady() const = 0;
  // Whether pods may have user namespaces on this host.
  virtual bool HasUserNamespaces() const = 0;
};

}  // namespace berth::sandbox
