// The socket to berthd: length-prefixed messages of proto/image_worker.proto.
// Send is thread-safe; Receive belongs to one thread.
#pragma once

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "image_worker.pb.h"

namespace berth::worker {

inline constexpr uint32_t kProtocolVersion = 1;

class Channel {
 public:
  // `fd`: a blocking SOCK_STREAM socket, not owned.
  explicit Channel(int fd) : fd_(fd) {}

  int fd() const { return fd_; }
  // Fills in the version. ResourceExhausted above 4 MiB; Unavailable when the daemon is gone.
  absl::Status Send(FromWorker message);
  // Bytes that are not printable ASCII are escaped: an archive's names may be in the message.
  absl::Status SendFailure(const absl::Status& failure);
  // Waits without a deadline: the daemon kills a worker that it no longer wants. Cancelled when the
  // daemon closed the socket.
  absl::StatusOr<ToWorker> Receive();

 private:
  const int fd_;
  Mutex mu_;
};

}  // namespace berth::worker
