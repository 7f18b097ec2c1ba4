#include "server/grpc_status.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace berth::server {
namespace {

constexpr size_t kMessageLimit = 2048;

#define BERTH_SAME_CODE(absl_code, grpc_code)                      \
  static_assert(static_cast<int>(absl::StatusCode::absl_code) ==   \
                    static_cast<int>(grpc::StatusCode::grpc_code), \
                "absl and gRPC number their codes alike")
BERTH_SAME_CODE(kOk, OK);
BERTH_SAME_CODE(kCancelled, CANCELLED);
BERTH_SAME_CODE(kUnknown, UNKNOWN);
BERTH_SAME_CODE(kInvalidArgument, INVALID_ARGUMENT);
BERTH_SAME_CODE(kDeadlineExceeded, DEADLINE_EXCEEDED);
BERTH_SAME_CODE(kNotFound, NOT_FOUND);
BERTH_SAME_CODE(kAlreadyExists, ALREADY_EXISTS);
BERTH_SAME_CODE(kPermissionDenied, PERMISSION_DENIED);
BERTH_SAME_CODE(kResourceExhausted, RESOURCE_EXHAUSTED);
BERTH_SAME_CODE(kFailedPrecondition, FAILED_PRECONDITION);
BERTH_SAME_CODE(kAborted, ABORTED);
BERTH_SAME_CODE(kOutOfRange, OUT_OF_RANGE);
BERTH_SAME_CODE(kUnimplemented, UNIMPLEMENTED);
BERTH_SAME_CODE(kInternal, INTERNAL);
BERTH_SAME_CODE(kUnavailable, UNAVAILABLE);
BERTH_SAME_CODE(kDataLoss, DATA_LOSS);
BERTH_SAME_CODE(kUnauthenticated, UNAUTHENTICATED);
#undef BERTH_SAME_CODE

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::string message(status.message());
  if (message.size() > kMessageLimit) {
    const size_t half = kMessageLimit / 2;
    message =
        absl::StrCat(message.substr(0, half), " [...] ", message.substr(message.size() - half));
  }
  return {static_cast<grpc::StatusCode>(status.code()), message};
}

}  // namespace berth::server
