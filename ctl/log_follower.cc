#include "ctl/log_follower.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::ctl {

absl::StatusOr<LogFollower> LogFollower::Open(const std::string& path, LogDecoder decoder) {
  os::UniqueFd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) return os::ErrnoStatus(errno, "watch log");
  const std::string directory = path.substr(0, path.rfind('/'));
  if (inotify_add_watch(inotify.get(), directory.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) <
      0) {
    return os::ErrnoStatus(errno, absl::StrCat("watch log directory ", directory));
  }
  return LogFollower(path, std::move(inotify), std::move(decoder));
}

absl::Status LogFollower::ReadToEnd() {
  std::array<char, 64 << 10> buffer;
  for (;;) {
    const ssize_t n = read(file_.get(), buffer.data(), buffer.size());
    if (n == 0) return absl::OkStatus();
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os::ErrnoStatus(errno, absl::StrCat("read log ", path_));
    decoder_.Feed(absl::string_view(buffer.data(), static_cast<size_t>(n)));
  }
}

bool LogFollower::Rotated() const {
  struct stat open_file;
  struct stat named;
  return stat(path_.c_str(), &named) == 0 && fstat(file_.get(), &open_file) == 0 &&
         (named.st_ino != open_file.st_ino || named.st_dev != open_file.st_dev);
}

absl::Status LogFollower::Drain() {
  for (;;) {
    if (!file_.valid()) {
      absl::StatusOr<os::UniqueFd> file = os::Open(path_, O_RDONLY);
      if (!file.ok()) {
        return os::IsErrno(file.status(), ENOENT) ? absl::OkStatus() : file.status();
      }
      file_ = *std::move(file);
    }
    // Looked at before reading: lines written to the old file until then are read first.
    const bool rotated = Rotated();
    RETURN_IF_ERROR(ReadToEnd());
    if (!rotated) return absl::OkStatus();
    file_.reset();
  }
}

absl::Status LogFollower::Wait(absl::Duration limit, int wake_fd) const {
  pollfd fds[2] = {{inotify_.get(), POLLIN, 0}, {wake_fd, POLLIN, 0}};
  if (poll(fds, 2, static_cast<int>(absl::ToInt64Milliseconds(limit))) < 0 && errno != EINTR) {
    return os::ErrnoStatus(errno, "wait for log");
  }
  // What happened does not matter, only that it did.
  std::array<char, 4096> events;
  while (read(inotify_.get(), events.data(), events.size()) > 0) {
  }
  return absl::OkStatus();
}

}  // namespace berth::ctl
