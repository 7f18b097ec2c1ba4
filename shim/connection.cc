#include "shim/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::shim {
namespace {

using protocol::Code;
using protocol::Phase;
using protocol::Reply;
using protocol::Request;

absl::Status Unavailable(int error, absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", os::ErrnoText(error)));
}

// connect(2) waits for room in a full backlog; SO_SNDTIMEO bounds that.
void BoundConnect(int socket, Deadline deadline) {
  const absl::Duration left = std::min(deadline.Remaining(), absl::Hours(1));
  const timeval limit = absl::ToTimeval(std::max(left, absl::Milliseconds(1)));
  (void)setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

absl::string_view PhaseName(uint32_t phase) {
  switch (static_cast<Phase>(phase)) {
    case Phase::kCreated:
      return "container is created, not running";
    case Phase::kRunning:
      return "container is running";
    case Phase::kExited:
      return "container has exited";
  }
  return "container is in an unknown phase";
}

// A field that a shim filled; its NUL is not taken on trust.
template <size_t N>
absl::string_view Text(const char (&field)[N]) {
  return absl::string_view(field, strnlen(field, N));
}

}  // namespace

absl::StatusOr<os::UniqueFd> Connect(const std::string& run_dir, Deadline deadline) {
  const absl::StatusOr<os::UniqueFd> dir = os::Open(run_dir, O_PATH | O_DIRECTORY);
  if (!dir.ok()) {
    return WithCode(absl::StatusCode::kUnavailable, dir.status(), "connect to shim");
  }
  os::UniqueFd socket_fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket_fd.valid()) return os::ErrnoStatus(errno, "connect to shim: socket");
  // By way of the directory's fd: the path itself may be longer than an address can hold.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = absl::StrCat("/proc/self/fd/", dir->get(), "/", protocol::kSocketName);
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  BoundConnect(socket_fd.get(), deadline);
  while (connect(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR && !deadline.Expired()) continue;
    if (errno == EAGAIN) return absl::DeadlineExceededError("connect to shim: it does not accept");
    return Unavailable(errno, "connect to shim");
  }
  return socket_fd;
}

Request MakeRequest(protocol::Op op, int argument) {
  Request request{};
  request.version = protocol::kVersion;
  request.op = static_cast<uint32_t>(op);
  request.argument = argument;
  return request;
}

absl::Status SendRequest(int connection, const Request& request, const std::vector<int>& fds) {
  iovec data{const_cast<Request*>(&request), sizeof request};
  alignas(cmsghdr) char control[CMSG_SPACE(protocol::kMaxFds * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t n;
  do {
    n = sendmsg(connection, &message, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n == sizeof request) return absl::OkStatus();
  return Unavailable(errno, "send to shim");
}

absl::StatusOr<Reply> ReceiveReply(int connection, protocol::Op op, Deadline deadline) {
  pollfd p{connection, POLLIN, 0};
  for (int n; (n = poll(&p, 1, deadline.PollMillis())) <= 0;) {
    if (n < 0 && errno != EINTR) return os::ErrnoStatus(errno, "poll shim");
    if (deadline.Expired()) return absl::DeadlineExceededError("shim does not answer");
  }
  Reply reply;
  iovec data{&reply, sizeof reply};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  const ssize_t n = recvmsg(connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0) return Unavailable(errno, "receive from shim");
  if (n == 0) return absl::UnavailableError("receive from shim: it hung up");
  if (n != sizeof reply || (message.msg_flags & MSG_TRUNC) != 0 ||
      reply.version != protocol::kVersion || reply.op != static_cast<uint32_t>(op)) {
    return absl::DataLossError("receive from shim: not a reply of this protocol");
  }
  return reply;
}

absl::Status StatusOf(const Reply& reply) {
  const absl::string_view step = Text(reply.step);
  switch (static_cast<Code>(reply.code)) {
    case Code::kOk:
      return absl::OkStatus();
    case Code::kBadRequest:
      return absl::InternalError("shim refused the request as malformed");
    case Code::kWrongPhase:
      return absl::FailedPreconditionError(PhaseName(reply.phase));
    case Code::kExecFailed: {
      const absl::string_view detail = Text(reply.detail);
      return absl::FailedPreconditionError(
          absl::StrCat(step, detail.empty() ? "" : " ", detail, ": ", os::ErrnoText(reply.error)));
    }
    case Code::kTooMany:
      return absl::ResourceExhaustedError("shim has too many execs under way");
    case Code::kTimedOut:
      return absl::DeadlineExceededError("time is up, everything it started was killed");
    case Code::kPaused:
      return absl::FailedPreconditionError("the container is paused");
    case Code::kNoTerminal:
      return absl::FailedPreconditionError("container has no terminal");
    case Code::kFailed:
      return absl::InternalError(absl::StrCat(step, ": ", os::ErrnoText(reply.error)));
  }
  return absl::InternalError(absl::StrCat("shim answered with unknown code ", reply.code));
}

absl::StatusOr<os::UniqueFd> MakeArguments(const std::vector<std::string>& args) {
  if (args.empty()) return absl::InvalidArgumentError("exec: no command");
  if (args.size() > protocol::kMaxArguments) {
    return absl::InvalidArgumentError(absl::StrCat("exec: ", args.size(), " arguments"));
  }
  std::vector<uint64_t> offsets;
  uint64_t size = (args.size() + 1) * sizeof(uint64_t);
  for (const std::string& arg : args) {
    if (arg.find('\0') != std::string::npos) {
      return absl::InvalidArgumentError("exec: an argument holds a NUL");
    }
    offsets.push_back(size);
    size += arg.size() + 1;
  }
  offsets.push_back(0);
  if (size > protocol::kMaxArgumentBytes) {
    return absl::InvalidArgumentError(absl::StrCat("exec: ", size, " bytes of arguments"));
  }
  std::string data(reinterpret_cast<const char*>(offsets.data()), offsets.size() * 8);
  data.reserve(size);
  for (const std::string& arg : args) data.append(arg.c_str(), arg.size() + 1);
  os::UniqueFd fd(memfd_create("berth-exec-arguments", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return os::ErrnoStatus(errno, "exec: memfd_create");
  RETURN_IF_ERROR(os::WriteAll(fd.get(), data));
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
    return os::ErrnoStatus(errno, "exec: seal arguments");
  }
  return fd;
}

}  // namespace berth::shim
