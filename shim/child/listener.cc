#include "shim/child/listener.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "shim/child/report.h"

namespace berth::shim::child {
namespace {

constexpr timeval kPatience = {2, 0};

// By way of the directory's descriptor, since a socket's address holds 107 bytes only and the path
// may not be there in the caller's mount namespace.
int ConnectToAgent(int socket_fd, const ListenerHandover& handover) {
  const char* slash = strrchr(handover.socket_path, '/');
  Words path;
  path.Add("/proc/self/fd/").AddNumber(static_cast<uint64_t>(handover.agent_dir_fd));
  path.Add(slash != nullptr ? slash : "/").Add(slash != nullptr ? "" : handover.socket_path);
  sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  memcpy(address.sun_path, path.c_str(), path.size());
  if (setsockopt(socket_fd, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience) != 0) {
    return errno;
  }
  while (connect(socket_fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

// All of `text`, `fd` with its first byte unless it is -1.
int SendText(int socket_fd, const char* text, size_t size, int fd) {
  while (size > 0) {
    iovec part = {const_cast<char*>(text), size};
    msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    if (fd >= 0) {
      memset(control, 0, sizeof control);
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    const ssize_t sent = sendmsg(socket_fd, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno;
    text += sent;
    size -= static_cast<size_t>(sent);
    fd = -1;
  }
  return 0;
}

int SendState(int socket_fd, const ListenerHandover& handover, int listener_fd) {
  Words tail;
  tail.AddNumber(static_cast<uint64_t>(handover.init_pid)).Add("},\"pid\":");
  tail.AddNumber(static_cast<uint64_t>(handover.pid)).Add("}");
  const int error = SendText(socket_fd, handover.state, strlen(handover.state), listener_fd);
  return error != 0 ? error : SendText(socket_fd, tail.c_str(), tail.size(), -1);
}

}  // namespace

int HandOverListener(const ListenerHandover& handover, const char** step) {
  *step = "take listener";
  const int listener =
      static_cast<int>(syscall(SYS_pidfd_getfd, handover.pidfd, handover.listener, 0));
  if (listener < 0) return errno;
  *step = "connect to agent";
  const int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int error = socket_fd < 0 ? errno : ConnectToAgent(socket_fd, handover);
  if (error == 0) {
    *step = "send to agent";
    error = SendState(socket_fd, handover, listener);
  }
  if (socket_fd >= 0) close(socket_fd);
  close(listener);
  return error;
}

}  // namespace berth::shim::child
