#include "server/rpc_server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace berth::server {
namespace {

// What kubelet sends and takes at most.
constexpr int kMessageLimitBytes = 16 << 20;

}  // namespace

RpcServer::RpcServer(SocketPath socket, std::unique_ptr<grpc::Server> server)
    : socket_(std::move(socket)), server_(std::move(server)) {}

RpcServer::~RpcServer() = default;

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(
    SocketPath socket, const std::vector<grpc::Service*>& services) {
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMessageLimitBytes);
  int bound = 0;
  builder.AddListeningPort(absl::StrCat("unix:", socket.BindPath()),
                           grpc::InsecureServerCredentials(), &bound);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || bound == 0) {
    return absl::InternalError(absl::StrCat("listen on ", socket.path(), ": gRPC cannot bind"));
  }
  RETURN_IF_ERROR(socket.Publish());
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(socket), std::move(server)));
}

void RpcServer::Shutdown(Deadline deadline) {
  if (absl::Status s = socket_.Withdraw(); !s.ok()) {
    LogWarning("cannot remove a socket", {{"error", s.message()}});
  }
  const absl::Duration left = std::min(deadline.Remaining(), absl::Minutes(10));
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(left));
}

}  // namespace berth::server
