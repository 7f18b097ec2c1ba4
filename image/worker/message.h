// Length-prefixed protobuf messages on a stream socket (proto/image_worker.proto says the form).
// Thread-safe: no state; callers keep two writers of one socket apart.
#pragma once

#include <google/protobuf/message_lite.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::worker {

inline constexpr size_t kMaxMessageBytes = 4 << 20;

// ResourceExhausted above 4 MiB. `peer`, for messages: "the daemon".
absl::Status SendMessage(int fd, const google::protobuf::MessageLite& message,
                         absl::string_view peer);
// Waits without a deadline. Cancelled when the socket was closed before the first byte.
absl::Status ReceiveMessage(int fd, absl::string_view peer, google::protobuf::MessageLite* message);

}  // namespace berth::worker
