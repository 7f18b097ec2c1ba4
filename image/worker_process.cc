#include "image/worker_process.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"

namespace berth::image {
namespace {

constexpr uint32_t kMaxMessage = 4 << 20;
constexpr uint32_t kProtocolVersion = 1;

std::string HowItEnded(int status) {
  if (WIFSIGNALED(status)) return absl::StrCat("killed by signal ", WTERMSIG(status));
  return absl::StrCat("exit code ", WEXITSTATUS(status));
}

absl::Status ToStatus(const worker::Failure& failure) {
  // What a worker may say. OK or a code that means something else to our callers is a bug of it.
  switch (const auto code = static_cast<absl::StatusCode>(failure.code()); code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kDataLoss:
    // What a registry answered, or did not.
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return absl::Status(code, failure.message());
    default:
      return absl::InternalError(failure.message());
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerProcess>> WorkerProcess::Start(const Options& options) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return os::ErrnoStatus(errno, "start image worker: socketpair");
  }
  os::UniqueFd ours(pair[0]);
  const os::UniqueFd theirs(pair[1]);
  os::SpawnOptions spawn;
  spawn.path = options.path;
  const bool pull = options.mode == Mode::kPull;
  spawn.argv = {"berth-image", pull ? "pull" : "import",
                absl::StrCat("--max-layer-bytes=", options.max_layer_bytes)};
  spawn.fds = {{theirs.get(), 3}, {options.staging_fd, 5}};
  if (!pull) spawn.fds.emplace_back(options.archive_fd, 4);
  spawn.clone_flags = CLONE_NEWIPC | CLONE_NEWUTS | (pull ? 0UL : CLONE_NEWNET);
  ASSIGN_OR_RETURN_CTX(os::Child child, os::Spawn(spawn), "start image worker");
  return std::unique_ptr<WorkerProcess>(
      new WorkerProcess(std::move(child), std::move(ours), options));
}

WorkerProcess::WorkerProcess(os::Child child, os::UniqueFd socket, const Options& options)
    : child_(std::move(child)), socket_(std::move(socket)), options_(options) {}

WorkerProcess::~WorkerProcess() {
  if (reaped_) return;
  // By pidfd: it is our unreaped child, so this cannot hit another process.
  (void)syscall(SYS_pidfd_send_signal, child_.pidfd.get(), SIGKILL, nullptr, 0);
  if (absl::StatusOr<int> status = Reap(Deadline::After(absl::Seconds(30))); !status.ok()) {
    LogWarning("image worker does not end", {{"error", status.status().ToString()}});
  }
}

absl::StatusOr<int> WorkerProcess::Reap(Deadline deadline) {
  ASSIGN_OR_RETURN(const int status, os::WaitChild(child_, deadline));
  reaped_ = true;
  return status;
}

absl::Status WorkerProcess::WaitFor(short events) {
  const Cancel* cancel = options_.cancel;
  const Deadline silence = Deadline::After(options_.max_silence);
  pollfd p[2] = {{socket_.get(), events, 0}, {cancel == nullptr ? -1 : cancel->fd(), POLLIN, 0}};
  for (;;) {
    if (cancel != nullptr && cancel->cancelled()) return absl::CancelledError("cancelled");
    const int n = poll(p, 2, options_.deadline.Min(silence).PollMillis());
    if (n < 0 && errno != EINTR) return os::ErrnoStatus(errno, "poll image worker");
    if (p[0].revents != 0 && n > 0) return absl::OkStatus();
    if (options_.deadline.Expired()) {
      return absl::DeadlineExceededError("image worker takes too long");
    }
    if (silence.Expired()) return absl::DeadlineExceededError("image worker makes no progress");
  }
}

// Of a worker that has said its last word: it has nothing left to do.
Deadline WorkerProcess::EndOfWait() const {
  return options_.deadline.Min(Deadline::After(absl::Seconds(30)));
}

absl::Status WorkerProcess::Gone() {
  ASSIGN_OR_RETURN(const int status, Reap(EndOfWait()));
  return absl::InternalError(absl::StrCat("image worker ended early: ", HowItEnded(status)));
}

absl::Status WorkerProcess::ReadExactly(char* data, size_t size) {
  while (size > 0) {
    RETURN_IF_ERROR(WaitFor(POLLIN));
    const ssize_t n = recv(socket_.get(), data, size, MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n == 0 || (n < 0 && errno == ECONNRESET)) return Gone();
    if (n < 0) return os::ErrnoStatus(errno, "read from image worker");
    data += n;
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<worker::FromWorker> WorkerProcess::Receive() {
  for (;;) {
    ASSIGN_OR_RETURN(worker::FromWorker message, ReceiveAny());
    if (!message.has_progress()) return message;
    options_.on_progress(message.progress());
  }
}

absl::StatusOr<worker::FromWorker> WorkerProcess::ReceiveAny() {
  uint32_t size = 0;
  RETURN_IF_ERROR(ReadExactly(reinterpret_cast<char*>(&size), sizeof size));
  size = le32toh(size);
  if (size > kMaxMessage) return absl::InternalError("image worker sent too long a message");
  std::string body(size, '\0');
  RETURN_IF_ERROR(ReadExactly(body.data(), size));
  worker::FromWorker message;
  if (!message.ParseFromString(body) || message.version() != kProtocolVersion) {
    return absl::InternalError("image worker sent a message that does not parse");
  }
  if (message.has_failure()) return ToStatus(message.failure());
  return message;
}

absl::Status WorkerProcess::Send(const worker::ToWorker& message) {
  const std::string body = message.SerializeAsString();
  if (body.size() > kMaxMessage) return absl::InternalError("message to image worker too long");
  const uint32_t size = htole32(static_cast<uint32_t>(body.size()));
  std::string frame(sizeof size, '\0');
  memcpy(frame.data(), &size, sizeof size);
  frame += body;
  for (absl::string_view left = frame; !left.empty();) {
    RETURN_IF_ERROR(WaitFor(POLLOUT));
    const ssize_t n = send(socket_.get(), left.data(), left.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
      // Its last word may still be there to read.
      absl::StatusOr<worker::FromWorker> last = Receive();
      return last.ok() ? absl::InternalError("image worker does not listen") : last.status();
    }
    if (n < 0) return os::ErrnoStatus(errno, "write to image worker");
    left.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status WorkerProcess::Finish() {
  ASSIGN_OR_RETURN(const int status, Reap(EndOfWait()));
  if (status != 0) {
    return absl::InternalError(absl::StrCat("image worker failed: ", HowItEnded(status)));
  }
  return absl::OkStatus();
}

}  // namespace berth::image
