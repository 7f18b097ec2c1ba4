#include "sandbox/runtime.h"

#include <utility>

#include "base/status_macros.h"
#include "sandbox/core.h"
#include "sandbox/pod_init.h"
#include "sandbox/spec_resources.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

class RuntimeImpl : public Runtime {
 public:
  explicit RuntimeImpl(std::unique_ptr<Core> core) : core_(std::move(core)) {}

  absl::StatusOr<cri::RunPodSandboxResponse> RunPodSandbox(
      const cri::RunPodSandboxRequest& request) override {
    return sandbox::RunPodSandbox(*core_, request);
  }
  absl::Status StopPodSandbox(const cri::StopPodSandboxRequest& request) override {
    return sandbox::StopPodSandbox(*core_, request);
  }
  absl::Status RemovePodSandbox(const cri::RemovePodSandboxRequest& request) override {
    return sandbox::RemovePodSandbox(*core_, request);
  }
  absl::StatusOr<cri::PodSandboxStatusResponse> PodSandboxStatus(
      const cri::PodSandboxStatusRequest& request) override {
    return sandbox::PodSandboxStatus(*core_, request);
  }
  absl::StatusOr<cri::ListPodSandboxResponse> ListPodSandbox(
      const cri::ListPodSandboxRequest& request) override {
    return sandbox::ListPodSandbox(*core_, request);
  }
  absl::StatusOr<cri::CreateContainerResponse> CreateContainer(
      const cri::CreateContainerRequest& request) override {
    return sandbox::CreateContainer(*core_, request);
  }
  absl::Status StartContainer(const cri::StartContainerRequest& request) override {
    return sandbox::StartContainer(*core_, request);
  }
  absl::Status StopContainer(const cri::StopContainerRequest& request) override {
    return sandbox::StopContainer(*core_, request);
  }
  absl::Status RemoveContainer(const cri::RemoveContainerRequest& request) override {
    return sandbox::RemoveContainer(*core_, request);
  }
  absl::StatusOr<cri::ContainerStatusResponse> ContainerStatus(
      const cri::ContainerStatusRequest& request) override {
    return sandbox::ContainerStatus(*core_, request);
  }
  absl::StatusOr<cri::ListContainersResponse> ListContainers(
      const cri::ListContainersRequest& request) override {
    return sandbox::ListContainers(*core_, request);
  }
  absl::StatusOr<cri::ExecSyncResponse> ExecSync(const cri::ExecSyncRequest& request,
                                                 const Cancel& cancel) override {
    return sandbox::ExecSync(*core_, request, cancel);
  }
  absl::Status ReopenContainerLog(const cri::ReopenContainerLogRequest& request) override {
    return sandbox::ReopenContainerLog(*core_, request);
  }
  absl::Status UpdateContainerResources(
      const cri::UpdateContainerResourcesRequest& request) override {
    return sandbox::UpdateContainerResources(*core_, request);
  }
  absl::StatusOr<cri::ContainerStatsResponse> ContainerStats(
      const cri::ContainerStatsRequest& request) override {
    return sandbox::ContainerStats(*core_, request);
  }
  absl::StatusOr<cri::ListContainerStatsResponse> ListContainerStats(
      const cri::ListContainerStatsRequest& request) override {
    return sandbox::ListContainerStats(*core_, request);
  }
  absl::StatusOr<cri::PodSandboxStatsResponse> PodSandboxStats(
      const cri::PodSandboxStatsRequest& request) override {
    return sandbox::PodSandboxStats(*core_, request);
  }
  absl::StatusOr<cri::ListPodSandboxStatsResponse> ListPodSandboxStats(
      const cri::ListPodSandboxStatsRequest& request) override {
    return sandbox::ListPodSandboxStats(*core_, request);
  }

  RuntimeCounts Counts() const override {
    RuntimeCounts counts;
    for (const PodPtr& pod : core_->pods.All()) counts.sandboxes += pod->view()->listed() ? 1 : 0;
    for (const ContainerPtr& container : core_->containers.All()) {
      const ContainerViewPtr view = container->view();
      counts.containers += view->listed() ? 1 : 0;
      counts.running += view->state == ContainerState::kRunning ? 1 : 0;
    }
    // Zero when the store cannot say: a number for people, not for decisions.
    counts.quarantined = core_->store.CountQuarantined().value_or(0);
    return counts;
  }
  std::vector<LogDrops> DroppedLogs() const override { return sandbox::DroppedLogs(*core_); }
  absl::Status NetworkReady() const override { return core_->network.Ready(); }
  bool HasUserNamespaces() const override { return core_->facts.has_user_namespaces; }

 private:
  const std::unique_ptr<Core> core_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::Start(
    RuntimeOptions options, const os::CgroupHost& cgroups, store::Store* store,
    image::ImageStore* images, shim::Launcher* launcher, cni::Network* network) {
  RETURN_IF_ERROR_CTX(CheckRlimits(options.default_rlimits), "default limits");
  ASSIGN_OR_RETURN(HostFacts facts, ReadHostFacts());
  facts.cgroup_layout = cgroups.layout();
  std::string boot_id = facts.boot_id;
  ASSIGN_OR_RETURN(std::unique_ptr<HostPort> host,
                   MakeHostPort(&cgroups, options.run_dir, options.netns_dir));
  auto core = std::make_unique<Core>(std::move(options), std::move(facts),
                                     Collaborators{store, images, launcher, network},
                                     std::move(host), image::ResolveUser);
  ASSIGN_OR_RETURN(core->shims,
                   MakeShimPort(
                       launcher, std::move(boot_id),
                       [raw = core.get()](const ContainerId& id, shim::WatchEvent event) {
                         OnShimEvent(*raw, id, event);
                       },
                       [raw = core.get()](const SandboxId& id) { OnInitEnd(*raw, id); }));
  core->resources = MakeResourcePort(&cgroups);
  RETURN_IF_ERROR(Reconcile(*core));
  return std::make_unique<RuntimeImpl>(std::move(core));
}

}  // namespace berth::sandbox
