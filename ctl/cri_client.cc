#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cri.grpc.pb.h"
#include "ctl/channel.h"
#include "ctl/clients.h"

namespace berth::ctl {
namespace {

// As kubelet's: a create may have to wait for others.
constexpr absl::Duration kLimit = absl::Minutes(2);

}  // namespace

struct CriClient::Stubs {
  std::string socket;
  std::unique_ptr<cri::RuntimeService::Stub> runtime;
  std::unique_ptr<cri::ImageService::Stub> images;

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(Stub* stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request, absl::Duration limit = kLimit) {
    grpc::ClientContext context;
    SetLimit(limit, &context);
    Response response;
    RETURN_IF_ERROR(FromGrpc((stub->*method)(&context, request, &response), socket));
    return response;
  }
};

using Runtime = cri::RuntimeService::Stub;
using Images = cri::ImageService::Stub;

CriClient::CriClient(const std::string& socket) : stubs_(std::make_unique<Stubs>()) {
  const auto channel = OpenChannel(socket);
  stubs_->socket = socket;
  stubs_->runtime = cri::RuntimeService::NewStub(channel);
  stubs_->images = cri::ImageService::NewStub(channel);
}

CriClient::~CriClient() = default;

absl::StatusOr<std::string> CriClient::RunPod(const cri::PodSandboxConfig& config) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  ASSIGN_OR_RETURN(const auto response,
                   stubs_->Call(stubs_->runtime.get(), &Runtime::RunPodSandbox, request));
  return response.pod_sandbox_id();
}

absl::Status CriClient::StopPod(const std::string& id) {
  cri::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return stubs_->Call(stubs_->runtime.get(), &Runtime::StopPodSandbox, request).status();
}

absl::Status CriClient::RemovePod(const std::string& id) {
  cri::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return stubs_->Call(stubs_->runtime.get(), &Runtime::RemovePodSandbox, request).status();
}

absl::StatusOr<cri::ListPodSandboxResponse> CriClient::ListPods() {
  return stubs_->Call(stubs_->runtime.get(), &Runtime::ListPodSandbox,
                      cri::ListPodSandboxRequest());
}

absl::StatusOr<std::string> CriClient::CreateContainer(const std::string& pod,
                                                       const cri::ContainerConfig& config,
                                                       const cri::PodSandboxConfig& pod_config) {
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_config() = config;
  *request.mutable_sandbox_config() = pod_config;
  ASSIGN_OR_RETURN(const auto response,
                   stubs_->Call(stubs_->runtime.get(), &Runtime::CreateContainer, request));
  return response.container_id();
}

absl::Status CriClient::StartContainer(const std::string& id) {
  cri::StartContainerRequest request;
  request.set_container_id(id);
  return stubs_->Call(stubs_->runtime.get(), &Runtime::StartContainer, request).status();
}

absl::Status CriClient::StopContainer(const std::string& id, absl::Duration grace) {
  cri::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(absl::ToInt64Seconds(grace));
  return stubs_->Call(stubs_->runtime.get(), &Runtime::StopContainer, request, grace + kLimit)
      .status();
}

absl::Status CriClient::RemoveContainer(const std::string& id) {
  cri::RemoveContainerRequest request;
  request.set_container_id(id);
  return stubs_->Call(stubs_->runtime.get(), &Runtime::RemoveContainer, request).status();
}

absl::StatusOr<cri::ListContainersResponse> CriClient::ListContainers() {
  return stubs_->Call(stubs_->runtime.get(), &Runtime::ListContainers,
                      cri::ListContainersRequest());
}

absl::StatusOr<cri::ListContainerStatsResponse> CriClient::ListStats(
    const cri::ContainerStatsFilter& filter) {
  cri::ListContainerStatsRequest request;
  *request.mutable_filter() = filter;
  return stubs_->Call(stubs_->runtime.get(), &Runtime::ListContainerStats, request);
}

absl::StatusOr<cri::ContainerStatus> CriClient::Status(const std::string& id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  ASSIGN_OR_RETURN(auto response,
                   stubs_->Call(stubs_->runtime.get(), &Runtime::ContainerStatus, request));
  return std::move(*response.mutable_status());
}

absl::StatusOr<cri::ExecSyncResponse> CriClient::Exec(const std::string& id,
                                                      const std::vector<std::string>& command,
                                                      absl::Duration timeout) {
  cri::ExecSyncRequest request;
  request.set_container_id(id);
  for (const std::string& word : command) request.add_cmd(word);
  request.set_timeout(absl::ToInt64Seconds(timeout));
  const absl::Duration limit =
      timeout == absl::ZeroDuration() ? absl::InfiniteDuration() : timeout + kLimit;
  return stubs_->Call(stubs_->runtime.get(), &Runtime::ExecSync, request, limit);
}

absl::StatusOr<cri::ListImagesResponse> CriClient::ListImages() {
  return stubs_->Call(stubs_->images.get(), &Images::ListImages, cri::ListImagesRequest());
}

absl::StatusOr<cri::Image> CriClient::FindImage(const std::string& reference) {
  cri::ImageStatusRequest request;
  request.mutable_image()->set_image(reference);
  ASSIGN_OR_RETURN(auto response,
                   stubs_->Call(stubs_->images.get(), &Images::ImageStatus, request));
  if (!response.has_image()) {
    return absl::NotFoundError(absl::StrCat("find image ", reference, ": not in the store"));
  }
  return std::move(*response.mutable_image());
}

absl::StatusOr<std::string> CriClient::PullImage(const std::string& reference,
                                                 const cri::AuthConfig& auth) {
  cri::PullImageRequest request;
  request.mutable_image()->set_image(reference);
  *request.mutable_auth() = auth;
  ASSIGN_OR_RETURN(const auto response, stubs_->Call(stubs_->images.get(), &Images::PullImage,
                                                     request, absl::InfiniteDuration()));
  return response.image_ref();
}

absl::Status CriClient::RemoveImage(const std::string& reference) {
  cri::RemoveImageRequest request;
  request.mutable_image()->set_image(reference);
  return stubs_->Call(stubs_->images.get(), &Images::RemoveImage, request).status();
}

}  // namespace berth::ctl
