// RpcServer: one gRPC server behind one unix socket. CRI and admin are two of them, because a gRPC
// server offers every service on every port. Thread-safe after Start.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "server/socket_path.h"

namespace grpc {
class Server;
class Service;
}  // namespace grpc

namespace berth::server {

class RpcServer {
 public:
  // Borrowed: the services outlive it. The socket is published when this returns.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(
      SocketPath socket, const std::vector<grpc::Service*>& services);
  ~RpcServer();

  // Withdraws the socket, accepts no more calls, gives those under way until `deadline` and cancels
  // the rest, whose clients get an answer; their handlers may still run when this returns.
  void Shutdown(Deadline deadline);

 private:
  RpcServer(SocketPath socket, std::unique_ptr<grpc::Server> server);
  SocketPath socket_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace berth::server
