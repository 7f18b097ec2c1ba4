#include "base/status_macros.h"
#include "berth_admin.grpc.pb.h"
#include "ctl/channel.h"
#include "ctl/clients.h"

namespace berth::ctl {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(30);
constexpr absl::Duration kImportLimit = absl::Hours(1);

}  // namespace

struct AdminClient::Stub {
  std::string socket;
  std::unique_ptr<admin::Admin::Stub> admin;

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (admin::Admin::Stub::*method)(grpc::ClientContext*,
                                                                           const Request&,
                                                                           Response*),
                                const Request& request) {
    grpc::ClientContext context;
    SetLimit(kLimit, &context);
    Response response;
    RETURN_IF_ERROR(FromGrpc((admin.get()->*method)(&context, request, &response), socket));
    return response;
  }
};

AdminClient::AdminClient(const std::string& socket) : stub_(std::make_unique<Stub>()) {
  stub_->socket = socket;
  stub_->admin = admin::Admin::NewStub(OpenChannel(socket));
}

AdminClient::~AdminClient() = default;

absl::StatusOr<admin::ImportImageResponse> AdminClient::ImportImage(
    const admin::ImportImageRequest::Options& options,
    const std::function<absl::Status(std::string*)>& read) {
  grpc::ClientContext context;
  SetLimit(kImportLimit, &context);
  admin::ImportImageResponse response;
  const auto stream = stub_->admin->ImportImage(&context, &response);
  admin::ImportImageRequest message;
  *message.mutable_options() = options;
  absl::Status status;
  while (!message.last()) {
    status = read(message.mutable_chunk());
    if (!status.ok()) {
      context.TryCancel();
      break;
    }
    message.set_last(message.chunk().empty());
    if (!stream->Write(message)) break;  // the server has answered: Finish says what
    message.clear_options();
  }
  stream->WritesDone();
  const grpc::Status answer = stream->Finish();
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(FromGrpc(answer, stub_->socket));
  return response;
}

absl::StatusOr<admin::StateResponse> AdminClient::State() {
  return stub_->Call(&admin::Admin::Stub::State, admin::StateRequest());
}

absl::StatusOr<admin::CheckResponse> AdminClient::Check() {
  return stub_->Call(&admin::Admin::Stub::Check, admin::CheckRequest());
}

absl::StatusOr<std::string> AdminClient::Metrics() {
  ASSIGN_OR_RETURN(const auto response,
                   stub_->Call(&admin::Admin::Stub::Metrics, admin::MetricsRequest()));
  return response.text();
}

absl::StatusOr<admin::FailpointsResponse> AdminClient::Failpoints(
    const admin::FailpointsRequest& request) {
  return stub_->Call(&admin::Admin::Stub::Failpoints, request);
}

}  // namespace berth::ctl
