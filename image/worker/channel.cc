#include "image/worker/channel.h"

#include <errno.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::worker {
namespace {

constexpr size_t kMaxFailureText = 4096;

std::string Printable(absl::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxFailureText)) {
    if (c >= 0x20 && c < 0x7f) {
      out.push_back(c);
    } else {
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// False: the socket was closed before the first byte.
absl::StatusOr<bool> ReadExactly(int fd, char* data, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = read(fd, data + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os::ErrnoStatus(errno, "receive from the daemon");
    if (n == 0 && done == 0) return false;
    if (n == 0) return absl::InternalError("receive from the daemon: cut off inside a message");
    done += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

absl::Status Channel::Send(FromWorker message) {
  message.set_version(kProtocolVersion);
  const size_t size = message.ByteSizeLong();
  if (size > kMaxMessageBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("describe archive: ", size, " bytes of names and configuration, more than ",
                     kMaxMessageBytes));
  }
  std::string frame;
  for (int shift = 0; shift < 32; shift += 8) frame.push_back(static_cast<char>(size >> shift));
  if (!message.AppendToString(&frame)) return absl::InternalError("serialize message");
  MutexLock lock(&mu_);
  if (absl::Status s = os::WriteAll(fd_, frame); !s.ok()) {
    return WithCode(absl::StatusCode::kUnavailable, s, "send to the daemon");
  }
  return absl::OkStatus();
}

absl::Status Channel::SendFailure(const absl::Status& failure) {
  FromWorker message;
  message.mutable_failure()->set_code(static_cast<int>(failure.code()));
  message.mutable_failure()->set_message(Printable(failure.message()));
  return Send(std::move(message));
}

absl::StatusOr<ToWorker> Channel::Receive() {
  unsigned char head[4];
  ASSIGN_OR_RETURN(bool got, ReadExactly(fd_, reinterpret_cast<char*>(head), sizeof head));
  if (!got) return absl::CancelledError("the daemon closed the socket");
  const size_t size =
      head[0] | size_t{head[1]} << 8 | size_t{head[2]} << 16 | size_t{head[3]} << 24;
  if (size > kMaxMessageBytes) return absl::InternalError("receive from the daemon: oversized");
  std::string body(size, '\0');
  if (size > 0) {
    ASSIGN_OR_RETURN(got, ReadExactly(fd_, body.data(), size));
    if (!got) return absl::CancelledError("the daemon closed the socket");
  }
  ToWorker message;
  if (!message.ParseFromString(body)) {
    return absl::InternalError("receive from the daemon: not a ToWorker message");
  }
  if (message.version() != kProtocolVersion) {
    return absl::UnimplementedError(
        absl::StrCat("receive from the daemon: protocol version ", message.version()));
  }
  return message;
}

}  // namespace berth::worker
