// CriClient and AdminClient: the RPCs that berthctl uses, without gRPC in the header. Thread-safe.
// Errors carry the server's code and message; Unavailable names the socket.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "berth_admin.pb.h"
#include "cri.pb.h"

namespace berth::ctl {

namespace cri = ::runtime::v1;
namespace admin = ::berth::admin::v1;

class CriClient {
 public:
  explicit CriClient(const std::string& socket);
  ~CriClient();

  absl::StatusOr<std::string> RunPod(const cri::PodSandboxConfig& config);
  absl::Status StopPod(const std::string& id);
  absl::Status RemovePod(const std::string& id);
  absl::StatusOr<cri::ListPodSandboxResponse> ListPods();
  absl::StatusOr<std::string> CreateContainer(const std::string& pod,
                                              const cri::ContainerConfig& config,
                                              const cri::PodSandboxConfig& pod_config);
  absl::Status StartContainer(const std::string& id);
  absl::Status StopContainer(const std::string& id, absl::Duration grace);
  absl::Status RemoveContainer(const std::string& id);
  absl::StatusOr<cri::ListContainersResponse> ListContainers();
  absl::StatusOr<cri::ListContainerStatsResponse> ListStats(
      const cri::ContainerStatsFilter& filter);
  absl::StatusOr<cri::ContainerStatus> Status(const std::string& id);
  // `timeout` zero: none.
  absl::StatusOr<cri::ExecSyncResponse> Exec(const std::string& id,
                                             const std::vector<std::string>& command,
                                             absl::Duration timeout);
  absl::StatusOr<cri::ListImagesResponse> ListImages();
  // Absent: NotFound.
  absl::StatusOr<cri::Image> FindImage(const std::string& reference);
  absl::Status RemoveImage(const std::string& reference);
  // The image's id. Waits as long as it takes.
  absl::StatusOr<std::string> PullImage(const std::string& reference, const cri::AuthConfig& auth);

 private:
  struct Stubs;
  std::unique_ptr<Stubs> stubs_;
};

class AdminClient {
 public:
  explicit AdminClient(const std::string& socket);
  ~AdminClient();

  // `read` fills the string with the next bytes; empty at the end.
  absl::StatusOr<admin::ImportImageResponse> ImportImage(
      const admin::ImportImageRequest::Options& options,
      const std::function<absl::Status(std::string*)>& read);
  absl::StatusOr<admin::StateResponse> State();
  absl::StatusOr<admin::CheckResponse> Check();
  absl::StatusOr<std::string> Metrics();
  absl::StatusOr<admin::FailpointsResponse> Failpoints(const admin::FailpointsRequest& request);

 private:
  struct Stub;
  std::unique_ptr<Stub> stub_;
};

}  // namespace berth::ctl
