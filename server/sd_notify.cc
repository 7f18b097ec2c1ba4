#include "server/sd_notify.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "base/os/errno_status.h"
#include "base/os/unique_fd.h"

namespace berth::server {

absl::Status SdNotify(const std::string& socket, absl::string_view state) {
  if (socket.empty()) return absl::OkStatus();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof(address.sun_path) || (socket[0] != '/' && socket[0] != '@')) {
    return absl::InvalidArgumentError("notify service manager: NOTIFY_SOCKET is not an address");
  }
  memcpy(address.sun_path, socket.data(), socket.size());
  if (socket[0] == '@') address.sun_path[0] = '\0';
  const os::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return os::ErrnoStatus(errno, "notify service manager");
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket.size());
  const ssize_t sent = sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                              reinterpret_cast<const sockaddr*>(&address), length);
  if (sent < 0) return os::ErrnoStatus(errno, "notify service manager");
  return absl::OkStatus();
}

}  // namespace berth::server
