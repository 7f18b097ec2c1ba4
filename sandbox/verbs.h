// One function per CRI verb, each in the file named after it. They are what Runtime's methods call;
// see sandbox/runtime.h for their contracts. Thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "sandbox/core.h"

namespace berth::sandbox {

absl::StatusOr<cri::RunPodSandboxResponse> RunPodSandbox(Core& core,
                                                         const cri::RunPodSandboxRequest& request);
absl::Status StopPodSandbox(Core& core, const cri::StopPodSandboxRequest& request);
absl::Status RemovePodSandbox(Core& core, const cri::RemovePodSandboxRequest& request);
absl::StatusOr<cri::PodSandboxStatusResponse> PodSandboxStatus(
    const Core& core, const cri::PodSandboxStatusRequest& request);
cri::ListPodSandboxResponse ListPodSandbox(const Core& core,
                                           const cri::ListPodSandboxRequest& request);

absl::StatusOr<cri::CreateContainerResponse> CreateContainer(
    Core& core, const cri::CreateContainerRequest& request);
absl::Status StartContainer(Core& core, const cri::StartContainerRequest& request);
absl::Status StopContainer(Core& core, const cri::StopContainerRequest& request);
absl::Status RemoveContainer(Core& core, const cri::RemoveContainerRequest& request);
absl::StatusOr<cri::ContainerStatusResponse> ContainerStatus(
    const Core& core, const cri::ContainerStatusRequest& request);
cri::ListContainersResponse ListContainers(const Core& core,
                                           const cri::ListContainersRequest& request);
absl::StatusOr<cri::ExecSyncResponse> ExecSync(Core& core, const cri::ExecSyncRequest& request,
                                               const Cancel& cancel);
absl::Status ReopenContainerLog(Core& core, const cri::ReopenContainerLogRequest& request);

absl::Status UpdateContainerResources(Core& core,
                                      const cri::UpdateContainerResourcesRequest& request);
absl::StatusOr<cri::ContainerStatsResponse> ContainerStats(
    Core& core, const cri::ContainerStatsRequest& request);
cri::ListContainerStatsResponse ListContainerStats(Core& core,
                                                   const cri::ListContainerStatsRequest& request);
absl::StatusOr<cri::PodSandboxStatsResponse> PodSandboxStats(
    Core& core, const cri::PodSandboxStatsRequest& request);
cri::ListPodSandboxStatsResponse ListPodSandboxStats(
    Core& core, const cri::ListPodSandboxStatsRequest& request);

// What running containers' shims say of their logs.
std::vector<LogDrops> DroppedLogs(const Core& core);

// Makes records and reality agree (reconcile.cc). Once, before any verb.
absl::Status Reconcile(Core& core);

}  // namespace berth::sandbox
