#include "ctl/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "absl/strings/str_cat.h"

namespace berth::ctl {
namespace {

constexpr int kReplyLimitBytes = 64 << 20;

}  // namespace

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& socket) {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kReplyLimitBytes);
  // A unix socket has no authority of its own; gRPC would send its path, percent-encoded.
  args.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return grpc::CreateCustomChannel(absl::StrCat("unix:", socket),
                                   grpc::InsecureChannelCredentials(), args);
}

void SetLimit(absl::Duration limit, grpc::ClientContext* context) {
  if (limit == absl::InfiniteDuration()) return;
  context->set_deadline(absl::ToChronoTime(absl::Now() + limit));
}

absl::Status FromGrpc(const grpc::Status& status, const std::string& socket) {
  if (status.ok()) return absl::OkStatus();
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    return absl::UnavailableError(
        absl::StrCat("ask berthd at ", socket, ": ", status.error_message()));
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace berth::ctl
