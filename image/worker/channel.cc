#include "image/worker/channel.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "image/worker/message.h"

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

}  // namespace

absl::Status Channel::Send(FromWorker message) {
  message.set_version(kProtocolVersion);
  MutexLock lock(&mu_);
  return SendMessage(fd_, message, "the daemon");
}

absl::Status Channel::SendFailure(const absl::Status& failure) {
  FromWorker message;
  message.mutable_failure()->set_code(static_cast<int>(failure.code()));
  message.mutable_failure()->set_message(Printable(failure.message()));
  return Send(std::move(message));
}

absl::StatusOr<ToWorker> Channel::Receive() {
  ToWorker message;
  RETURN_IF_ERROR(ReceiveMessage(fd_, "the daemon", &message));
  if (message.version() != kProtocolVersion) {
    return absl::UnimplementedError(
        absl::StrCat("receive from the daemon: protocol version ", message.version()));
  }
  return message;
}

}  // namespace berth::worker
