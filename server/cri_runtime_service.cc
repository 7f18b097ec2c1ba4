#include "cri.grpc.pb.h"
#include "server/cri_services.h"
#include "server/exec_reply.h"

namespace berth::server {
namespace {

namespace cri = ::runtime::v1;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
using grpc::ServerWriteReactor;

// RPC -> the Runtime method of the same name, which returns the reply.
#define BERTH_ASK(Method, lane)                                                             \
  ServerUnaryReactor* Method(CallbackServerContext* context, const cri::Method##Request* q, \
                             cri::Method##Response* r) override {                           \
    return edge_->Unary(context, #Method, lane, q, r,                                       \
                        [this](const auto& request, cri::Method##Response* reply) {         \
                          return Take(runtime_->Method(request), reply);                    \
                        });                                                                 \
  }
// The same for one whose reply is empty.
#define BERTH_DO(Method, lane)                                                                     \
  ServerUnaryReactor* Method(CallbackServerContext* context, const cri::Method##Request* q,        \
                             cri::Method##Response* r) override {                                  \
    return edge_->Unary(context, #Method, lane, q, r,                                              \
                        [this](const auto& request, auto*) { return runtime_->Method(request); }); \
  }
#define BERTH_REFUSE(Method)                                                              \
  ServerUnaryReactor* Method(CallbackServerContext* context, const cri::Method##Request*, \
                             cri::Method##Response*) override {                           \
    return edge_->Refuse(context, #Method);                                               \
  }
#define BERTH_REFUSE_STREAM(Method, Request, Response)                                   \
  ServerWriteReactor<cri::Response>* Method(CallbackServerContext*, const cri::Request*) \
      override {                                                                         \
    return edge_->RefuseStream<cri::Response>(#Method);                                  \
  }

template <typename Response>
absl::Status Take(absl::StatusOr<Response> result, Response* reply) {
  if (!result.ok()) return std::move(result).status();
  *reply = *std::move(result);
  return absl::OkStatus();
}

class RuntimeService final : public cri::RuntimeService::CallbackService {
 public:
  RuntimeService(Edge* edge, sandbox::Runtime* runtime, const RuntimeFacts* facts)
      : edge_(edge), runtime_(runtime), facts_(facts) {}

  ServerUnaryReactor* Version(CallbackServerContext* context, const cri::VersionRequest* q,
                              cri::VersionResponse* r) override {
    return edge_->Unary(context, "Version", Lane::kInline, q, r, [](const auto&, auto* reply) {
      FillVersion(reply);
      return absl::OkStatus();
    });
  }
  ServerUnaryReactor* Status(CallbackServerContext* context, const cri::StatusRequest* q,
                             cri::StatusResponse* r) override {
    return edge_->Unary(context, "Status", Lane::kInline, q, r,
                        [this](const auto& request, auto* reply) {
                          FillStatus(*facts_, request.verbose(), *runtime_, reply);
                          return absl::OkStatus();
                        });
  }
  ServerUnaryReactor* RuntimeConfig(CallbackServerContext* context,
                                    const cri::RuntimeConfigRequest* q,
                                    cri::RuntimeConfigResponse* r) override {
    return edge_->Unary(context, "RuntimeConfig", Lane::kInline, q, r,
                        [](const auto&, auto* reply) {
                          reply->mutable_linux()->set_cgroup_driver(cri::CGROUPFS);
                          return absl::OkStatus();
                        });
  }
  // Kubelet passes the pod CIDR, for runtimes that write CNI configuration from a template.
  ServerUnaryReactor* UpdateRuntimeConfig(CallbackServerContext* context,
                                          const cri::UpdateRuntimeConfigRequest* q,
                                          cri::UpdateRuntimeConfigResponse* r) override {
    return edge_->Unary(context, "UpdateRuntimeConfig", Lane::kInline, q, r,
                        [](const auto&, auto*) { return absl::OkStatus(); });
  }
  ServerUnaryReactor* ExecSync(CallbackServerContext* context, const cri::ExecSyncRequest* q,
                               cri::ExecSyncResponse* r) override {
    return edge_->Unary(context, "ExecSync", Lane::kWaiting, q, r,
                        [this](const auto& request, auto* reply, const Cancel& cancel) {
                          absl::Status s = Take(runtime_->ExecSync(request, cancel), reply);
                          FitExecReply(reply);
                          return s;
                        });
  }

  BERTH_ASK(RunPodSandbox, Lane::kWaiting)
  BERTH_DO(StopPodSandbox, Lane::kWaiting)
  BERTH_DO(RemovePodSandbox, Lane::kWaiting)
  BERTH_ASK(PodSandboxStatus, Lane::kInline)
  BERTH_ASK(ListPodSandbox, Lane::kInline)
  BERTH_ASK(CreateContainer, Lane::kLifecycle)
  BERTH_DO(StartContainer, Lane::kLifecycle)
  BERTH_DO(StopContainer, Lane::kWaiting)
  BERTH_DO(RemoveContainer, Lane::kLifecycle)
  // A verbose one reads the runtime spec from disk.
  BERTH_ASK(ContainerStatus, q->verbose() ? Lane::kWaiting : Lane::kInline)
  BERTH_ASK(ListContainers, Lane::kInline)
  BERTH_DO(ReopenContainerLog, Lane::kLifecycle)
  BERTH_DO(UpdateContainerResources, Lane::kLifecycle)
  // They read kernel files, and may wait a moment for a measurement.
  BERTH_ASK(ContainerStats, Lane::kWaiting)
  BERTH_ASK(ListContainerStats, Lane::kWaiting)
  BERTH_ASK(PodSandboxStats, Lane::kWaiting)
  BERTH_ASK(ListPodSandboxStats, Lane::kWaiting)

  BERTH_REFUSE(Exec)
  BERTH_REFUSE(Attach)
  BERTH_REFUSE(PortForward)
  BERTH_REFUSE(CheckpointContainer)
  BERTH_REFUSE(CheckpointPod)
  BERTH_REFUSE(RestorePod)
  BERTH_REFUSE(ListMetricDescriptors)
  BERTH_REFUSE(ListPodSandboxMetrics)
  BERTH_REFUSE(UpdatePodSandboxResources)
  BERTH_REFUSE_STREAM(StreamPodSandboxes, StreamPodSandboxesRequest, StreamPodSandboxesResponse)
  BERTH_REFUSE_STREAM(StreamContainers, StreamContainersRequest, StreamContainersResponse)
  BERTH_REFUSE_STREAM(StreamContainerStats, StreamContainerStatsRequest,
                      StreamContainerStatsResponse)
  BERTH_REFUSE_STREAM(StreamPodSandboxStats, StreamPodSandboxStatsRequest,
                      StreamPodSandboxStatsResponse)
  BERTH_REFUSE_STREAM(StreamPodSandboxMetrics, StreamPodSandboxMetricsRequest,
                      StreamPodSandboxMetricsResponse)
  BERTH_REFUSE_STREAM(GetContainerEvents, GetEventsRequest, ContainerEventResponse)

 private:
  Edge* const edge_;
  sandbox::Runtime* const runtime_;
  const RuntimeFacts* const facts_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeRuntimeService(Edge* edge, sandbox::Runtime* runtime,
                                                  const RuntimeFacts* facts) {
  return std::make_unique<RuntimeService>(edge, runtime, facts);
}

}  // namespace berth::server
