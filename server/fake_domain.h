// Stand-ins for what the services serve, for tests in this folder. Thread-safe.
#pragma once

#include <poll.h>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/os/file.h"
#include "image/image_store.h"
#include "sandbox/runtime.h"

namespace berth::server {

// Knows no pod and no container; ExecSync waits until Release or cancelled.
class FakeRuntime final : public sandbox::Runtime {
  template <typename Response>
  using Result = absl::StatusOr<Response>;
  using Ok = absl::Status;

 public:
  static constexpr int64_t kUntilCancelled = 4711;  // ExecSync with this timeout
  Result<sandbox::cri::RunPodSandboxResponse> RunPodSandbox(
      const sandbox::cri::RunPodSandboxRequest&) override {
    return absl::InvalidArgumentError("run pod sandbox: no metadata");
  }
  Ok StopPodSandbox(const sandbox::cri::StopPodSandboxRequest&) override { return {}; }
  Ok RemovePodSandbox(const sandbox::cri::RemovePodSandboxRequest&) override { return {}; }
  Result<sandbox::cri::PodSandboxStatusResponse> PodSandboxStatus(
      const sandbox::cri::PodSandboxStatusRequest&) override {
    return absl::NotFoundError("no such pod");
  }
  Result<sandbox::cri::ListPodSandboxResponse> ListPodSandbox(
      const sandbox::cri::ListPodSandboxRequest&) override {
    return sandbox::cri::ListPodSandboxResponse();
  }
  Result<sandbox::cri::CreateContainerResponse> CreateContainer(
      const sandbox::cri::CreateContainerRequest&) override {
    return absl::InvalidArgumentError("create container: no metadata");
  }
  Ok StartContainer(const sandbox::cri::StartContainerRequest& request) override {
    return absl::NotFoundError(
        absl::StrCat("start container ", request.container_id(), ": no such container"));
  }
  Ok StopContainer(const sandbox::cri::StopContainerRequest&) override { return {}; }
  Ok RemoveContainer(const sandbox::cri::RemoveContainerRequest&) override { return {}; }
  Result<sandbox::cri::ContainerStatusResponse> ContainerStatus(
      const sandbox::cri::ContainerStatusRequest&) override {
    return absl::NotFoundError("no such container");
  }
  Result<sandbox::cri::ListContainersResponse> ListContainers(
      const sandbox::cri::ListContainersRequest&) override {
    return sandbox::cri::ListContainersResponse();
  }
  Result<sandbox::cri::ExecSyncResponse> ExecSync(const sandbox::cri::ExecSyncRequest& request,
                                                  const Cancel& cancel) override {
    if (request.timeout() == kUntilCancelled) {
      pollfd p{cancel.fd(), POLLIN, 0};
      (void)poll(&p, 1, 60000);  // the caller sees from the status what came
      return cancel.cancelled() ? absl::CancelledError("cancelled") : absl::InternalError("late");
    }
    MutexLock lock(&mu_);
    ++callers_;
    cv_.NotifyAll();
    while (!released_) cv_.WaitFor(&mu_, absl::Seconds(60));
    sandbox::cri::ExecSyncResponse response;
    response.set_exit_code(7);
    return response;
  }
  Ok ReopenContainerLog(const sandbox::cri::ReopenContainerLogRequest&) override { return {}; }
  Ok UpdateContainerResources(const sandbox::cri::UpdateContainerResourcesRequest&) override {
    return {};
  }
  Result<sandbox::cri::ContainerStatsResponse> ContainerStats(
      const sandbox::cri::ContainerStatsRequest&) override {
    return absl::NotFoundError("no such container");
  }
  Result<sandbox::cri::ListContainerStatsResponse> ListContainerStats(
      const sandbox::cri::ListContainerStatsRequest&) override {
    return sandbox::cri::ListContainerStatsResponse();
  }
  Result<sandbox::cri::PodSandboxStatsResponse> PodSandboxStats(
      const sandbox::cri::PodSandboxStatsRequest&) override {
    return absl::NotFoundError("no such pod");
  }
  Result<sandbox::cri::ListPodSandboxStatsResponse> ListPodSandboxStats(
      const sandbox::cri::ListPodSandboxStatsRequest&) override {
    return sandbox::cri::ListPodSandboxStatsResponse();
  }
  sandbox::RuntimeCounts Counts() const override { return {1, 2, 1, 0}; }
  std::vector<sandbox::LogDrops> DroppedLogs() const override { return {}; }
  Ok NetworkReady() const override {
    return absl::FailedPreconditionError("no CNI configuration in /etc/cni/net.d");
  }
  bool HasUserNamespaces() const override { return true; }

  bool WaitForCallers(int count) {
    const Deadline deadline = Deadline::After(absl::Seconds(60));
    MutexLock lock(&mu_);
    while (callers_ < count && !deadline.Expired()) cv_.WaitFor(&mu_, deadline.Remaining());
    return callers_ >= count;
  }
  void Release() {
    MutexLock lock(&mu_);
    released_ = true;
    cv_.NotifyAll();
  }

 private:
  Mutex mu_;
  CondVar cv_;
  int callers_ ABSL_GUARDED_BY(mu_) = 0;
  bool released_ ABSL_GUARDED_BY(mu_) = false;
};

// Holds what `Add` put there; remembers the bytes of an import.
class FakeImages final : public image::ImageStore {
 public:
  absl::StatusOr<std::vector<image::ImagePtr>> Import(os::UniqueFd archive,
                                                      const image::ImportOptions&) override {
    absl::StatusOr<std::string> bytes = os::ReadAll(archive.get(), 1 << 20);
    if (!bytes.ok()) return bytes.status();
    MutexLock lock(&mu_);
    imported_ = *std::move(bytes);
    return images_;
  }
  absl::Status ImportDirectory(const std::string&) override { return {}; }
  // The first image, or the error that was set.
  absl::StatusOr<image::ImagePtr> Pull(const image::PullOptions& options, const Cancel&) override {
    MutexLock lock(&mu_);
    pulled_ = options;
    if (!pull_error_.ok()) return pull_error_;
    return images_.front();
  }
  std::vector<image::PullStatus> Pulls() const override { return {}; }
  std::vector<image::ImagePtr> List() const override { return images_; }
  image::ImagePtr Find(absl::string_view reference) const override {
    for (const image::ImagePtr& image : images_) {
      if (image->id.str() == reference) return image;
    }
    return nullptr;
  }
  absl::Status Remove(absl::string_view) override { return {}; }
  absl::StatusOr<image::FsUsage> Usage() const override {
    return image::FsUsage{"/var/lib/berth", 4096, 1};
  }
  absl::Status Hold(const std::string&, const std::vector<Digest>&) override { return {}; }
  void Unhold(const std::string&) override {}
  absl::Status CollectGarbage() override { return {}; }
  std::vector<std::string> LowerPaths(const std::vector<Digest>&) const override { return {}; }

  void Add(image::Image image) {
    images_.push_back(std::make_shared<image::Image>(std::move(image)));
  }
  void FailPulls(const absl::Status& error) {
    MutexLock lock(&mu_);
    pull_error_ = error;
  }
  image::PullOptions pulled() {
    MutexLock lock(&mu_);
    return pulled_;
  }
  // The bytes of the last archive.
  std::string imported() {
    MutexLock lock(&mu_);
    return imported_;
  }

 private:
  Mutex mu_;
  std::string imported_ ABSL_GUARDED_BY(mu_);
  image::PullOptions pulled_ ABSL_GUARDED_BY(mu_);
  absl::Status pull_error_ ABSL_GUARDED_BY(mu_);
  std::vector<image::ImagePtr> images_;
};

}  // namespace berth::server
