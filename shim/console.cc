#include "shim/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::shim {
namespace {

constexpr size_t kMaxName = 4096;

// What came along with a message: every descriptor is taken, so that none is left open.
std::vector<os::UniqueFd> TakeFds(msghdr* message) {
  std::vector<os::UniqueFd> fds;
  for (cmsghdr* c = CMSG_FIRSTHDR(message); c != nullptr; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

absl::StatusOr<std::pair<os::UniqueFd, os::UniqueFd>> MakeConsoleSockets() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return os::ErrnoStatus(errno, "make console sockets");
  }
  return std::pair<os::UniqueFd, os::UniqueFd>(ends[0], ends[1]);
}

absl::StatusOr<os::UniqueFd> ReceiveConsole(int socket, Deadline deadline) {
  pollfd p{socket, POLLIN, 0};
  for (int n; (n = poll(&p, 1, deadline.PollMillis())) <= 0;) {
    if (n < 0 && errno != EINTR) return os::ErrnoStatus(errno, "wait for terminal");
    if (deadline.Expired()) return absl::DeadlineExceededError("wait for terminal: none came");
  }
  char name[kMaxName];
  iovec data{name, sizeof name};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n;
  do {
    n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return os::ErrnoStatus(errno, "receive terminal");
  std::vector<os::UniqueFd> fds = TakeFds(&message);
  if (n == 0) return absl::UnavailableError("receive terminal: the other end was closed");
  if (fds.size() != 1 || (message.msg_flags & MSG_CTRUNC) != 0) {
    return absl::DataLossError("receive terminal: not one descriptor");
  }
  return std::move(fds.front());
}

absl::StatusOr<os::UniqueFd> ConnectConsole(const std::string& path) {
  const std::string what = absl::StrCat("connect to console socket ", path);
  ASSIGN_OR_RETURN_CTX(const os::UniqueFd file, os::Open(path, O_PATH), what);
  os::UniqueFd connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!connection.valid()) return os::ErrnoStatus(errno, what);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string through = absl::StrCat("/proc/self/fd/", file.get());
  memcpy(address.sun_path, through.c_str(), through.size() + 1);
  if (connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return os::ErrnoStatus(errno, what);
  }
  return connection;
}

absl::Status SetWindowSize(int terminal, WindowSize size) {
  const winsize wanted{size.rows, size.columns, 0, 0};
  if (ioctl(terminal, TIOCSWINSZ, &wanted) != 0) return os::ErrnoStatus(errno, "resize terminal");
  return absl::OkStatus();
}

absl::StatusOr<WindowSize> GetWindowSize(int terminal) {
  winsize size{};
  if (ioctl(terminal, TIOCGWINSZ, &size) != 0) {
    return os::ErrnoStatus(errno, "read size of terminal");
  }
  return WindowSize{size.ws_row, size.ws_col};
}

}  // namespace berth::shim
