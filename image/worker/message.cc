#include "image/worker/message.h"

#include <errno.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::worker {
namespace {

// False: the socket was closed before the first byte.
absl::StatusOr<bool> ReadExactly(int fd, absl::string_view peer, char* data, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = read(fd, data + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os::ErrnoStatus(errno, absl::StrCat("receive from ", peer));
    if (n == 0 && done == 0) return false;
    if (n == 0)
      return absl::InternalError(absl::StrCat("receive from ", peer, ": cut off inside a message"));
    done += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

absl::Status SendMessage(int fd, const google::protobuf::MessageLite& message,
                         absl::string_view peer) {
  const size_t size = message.ByteSizeLong();
  if (size > kMaxMessageBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("describe the image: ", size, " bytes of names and configuration, more than ",
                     kMaxMessageBytes));
  }
  std::string frame;
  for (int shift = 0; shift < 32; shift += 8) frame.push_back(static_cast<char>(size >> shift));
  if (!message.AppendToString(&frame)) return absl::InternalError("serialize message");
  if (absl::Status s = os::WriteAll(fd, frame); !s.ok()) {
    return WithCode(absl::StatusCode::kUnavailable, s, absl::StrCat("send to ", peer));
  }
  return absl::OkStatus();
}

absl::Status ReceiveMessage(int fd, absl::string_view peer,
                            google::protobuf::MessageLite* message) {
  const absl::Status closed = absl::CancelledError(absl::StrCat(peer, " closed the socket"));
  unsigned char head[4];
  ASSIGN_OR_RETURN(bool got, ReadExactly(fd, peer, reinterpret_cast<char*>(head), sizeof head));
  if (!got) return closed;
  const size_t size =
      head[0] | size_t{head[1]} << 8 | size_t{head[2]} << 16 | size_t{head[3]} << 24;
  if (size > kMaxMessageBytes) {
    return absl::InternalError(absl::StrCat("receive from ", peer, ": oversized"));
  }
  std::string body(size, '\0');
  if (size > 0) {
    ASSIGN_OR_RETURN(got, ReadExactly(fd, peer, body.data(), size));
    if (!got) return closed;
  }
  if (!message->ParseFromString(body)) {
    return absl::InternalError(absl::StrCat("receive from ", peer, ": not one of its messages"));
  }
  return absl::OkStatus();
}

}  // namespace berth::worker
