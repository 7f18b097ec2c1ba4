// absl::Status -> grpc::Status: the only such function. Pure; thread-safe.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace berth::server {

// Messages longer than 2 KiB lose their middle: gRPC sends them percent-encoded (three bytes for
// one) in a trailer, and clients refuse more than 8 KiB of those.
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace berth::server
