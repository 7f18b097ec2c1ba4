// What both clients share; includes gRPC. Thread-safe: no state.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace berth::ctl {

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& socket);
// A call gives up after `limit`; an infinite one does not.
void SetLimit(absl::Duration limit, grpc::ClientContext* context);
absl::Status FromGrpc(const grpc::Status& status, const std::string& socket);

}  // namespace berth::ctl
