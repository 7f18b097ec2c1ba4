#include "shim/terminal_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <utility>

#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/console.h"

namespace berth::shim {
namespace {

bool IsTransient(int error) { return error == EAGAIN || error == EINTR; }

}  // namespace

absl::StatusOr<TerminalRelay::RawMode> TerminalRelay::RawMode::Enter(int terminal) {
  termios before;
  if (tcgetattr(terminal, &before) != 0) return os::ErrnoStatus(errno, "read terminal's mode");
  termios raw = before;
  cfmakeraw(&raw);
  if (tcsetattr(terminal, TCSANOW, &raw) != 0) {
    return os::ErrnoStatus(errno, "make terminal raw");
  }
  return RawMode(terminal, before);
}

TerminalRelay::RawMode::~RawMode() {
  // What else could be done for a terminal that is gone.
  if (terminal_ >= 0) (void)tcsetattr(terminal_, TCSADRAIN, &before_);
}

absl::StatusOr<TerminalRelay> TerminalRelay::Open(os::UniqueFd master, int in, int out) {
  TerminalRelay relay(std::move(master), in, out);
  const int fd = relay.master_.get();
  // Of this open file alone: the container has the other end.
  if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return os::ErrnoStatus(errno, "open relay");
  relay.changed_.reset(epoll_create1(EPOLL_CLOEXEC));
  // While no process has the terminal open its master is hung up, and may come to life again: only
  // changes are events.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  if (!relay.changed_.valid() || epoll_ctl(relay.changed_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return os::ErrnoStatus(errno, "watch terminal");
  }
  ASSIGN_OR_RETURN(relay.nowhere_, os::Open("/dev/null", O_WRONLY));
  relay.size_of_ = isatty(in) != 0 ? in : isatty(out) != 0 ? out : -1;
  RETURN_IF_ERROR(relay.Resize());
  if (isatty(in) != 0) {
    ASSIGN_OR_RETURN(RawMode raw, RawMode::Enter(in));
    relay.raw_.emplace(std::move(raw));
  }
  return relay;
}

absl::Status TerminalRelay::Resize() const {
  if (size_of_ < 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const WindowSize size, GetWindowSize(size_of_));
  return SetWindowSize(master_.get(), size);
}

TerminalRelay::PollSet TerminalRelay::Wanted() const {
  return {pollfd{typed_.empty() ? in_ : -1, POLLIN, 0},
          pollfd{typed_.empty() ? -1 : master_.get(), POLLOUT, 0},
          shown_.empty() ? pollfd{changed_.get(), POLLIN, 0} : pollfd{out_, POLLOUT, 0}};
}

void TerminalRelay::Copy(const PollSet& ready) {
  if (ready[0].revents != 0) {
    const ssize_t n = read(in_, typed_.data, sizeof typed_.data);
    typed_.begin = 0;
    typed_.end = n > 0 ? static_cast<size_t>(n) : 0;
    if (n == 0 || (n < 0 && !IsTransient(errno))) in_ = -1;
  }
  if (ready[1].revents != 0) Type();
  if (ready[2].revents == 0) return;
  if (shown_.empty()) {
    epoll_event event;
    (void)epoll_wait(changed_.get(), &event, 1, 0);  // taken note of
  } else {
    Show();
  }
  // The next event comes only after all of this one's data is read.
  if (shown_.empty()) (void)ReadMaster();
}

TerminalRelay::Master TerminalRelay::ReadMaster() {
  for (;;) {
    const ssize_t n = read(master_.get(), shown_.data, sizeof shown_.data);
    if (n > 0) {
      shown_.begin = 0;
      shown_.end = static_cast<size_t>(n);
      return Master::kData;
    }
    if (n < 0 && errno == EINTR) continue;
    return n < 0 && errno == EAGAIN ? Master::kNothing : Master::kNobody;
  }
}

void TerminalRelay::Show() {
  const ssize_t n = write(out_, shown_.data + shown_.begin, shown_.end - shown_.begin);
  if (n > 0) {
    shown_.begin += static_cast<size_t>(n);
  } else if (n < 0 && !IsTransient(errno)) {
    out_ = nowhere_.get();  // the container goes on
  }
}

void TerminalRelay::Type() {
  const ssize_t n = write(master_.get(), typed_.data + typed_.begin, typed_.end - typed_.begin);
  if (n > 0) {
    typed_.begin += static_cast<size_t>(n);
  } else if (n < 0 && errno != EINTR) {
    // It said that it was ready: nobody is there to read.
    typed_.begin = typed_.end;
  }
}

void TerminalRelay::Drain(Deadline deadline) {
  for (;;) {
    if (shown_.empty()) {
      switch (ReadMaster()) {
        case Master::kData:
          break;
        case Master::kNobody:
          return;
        case Master::kNothing: {
          pollfd changed{master_.get(), POLLIN, 0};
          if (poll(&changed, 1, deadline.PollMillis()) <= 0 && deadline.Expired()) return;
          continue;
        }
      }
    }
    pollfd out{out_, POLLOUT, 0};
    if (poll(&out, 1, deadline.PollMillis()) > 0) {
      Show();
    } else if (deadline.Expired()) {
      return;
    }
  }
}

}  // namespace berth::shim
