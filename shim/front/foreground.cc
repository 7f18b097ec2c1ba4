#include "shim/front/foreground.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"

namespace berth::shim::front {
namespace {

// How long something that the process left behind may keep its terminal open before we go.
constexpr absl::Duration kDrainLimit = absl::Milliseconds(250);

// Not for the container: they are about this process alone.
bool IsOurs(uint32_t signal_number) {
  return signal_number == SIGCHLD || signal_number == SIGPIPE || signal_number == SIGURG ||
         signal_number == SIGTTIN || signal_number == SIGTTOU;
}

int ExitCodeOf(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

absl::StatusOr<Foreground> Foreground::Block() {
  sigset_t all;
  sigfillset(&all);
  // Those of a fault of our own must end us at once.
  for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) {
    sigdelset(&all, own);
  }
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread
  if (sigprocmask(SIG_BLOCK, &all, nullptr) != 0) return os::ErrnoStatus(errno, "block signals");
  os::UniqueFd fd(signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return os::ErrnoStatus(errno, "watch signals");
  return Foreground(std::move(fd));
}

void Foreground::PassOn(int pidfd, const TerminalRelay* relay) const {
  signalfd_siginfo info;
  while (read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (IsOurs(info.ssi_signo)) continue;
    if (relay != nullptr && info.ssi_signo == SIGWINCH) {
      (void)relay->Resize();  // whichever terminal is gone, its end shows elsewhere
      continue;
    }
    // ESRCH: it has just ended.
    (void)syscall(SYS_pidfd_send_signal, pidfd, info.ssi_signo, nullptr, 0);
  }
}

// For a signal; what else happens meanwhile is the relay's.
absl::Status Foreground::Wait(TerminalRelay* relay) const {
  TerminalRelay::PollSet wanted;
  wanted.fill({-1, 0, 0});
  if (relay != nullptr) wanted = relay->Wanted();
  pollfd fds[1 + std::tuple_size_v<TerminalRelay::PollSet>] = {{signals_.get(), POLLIN, 0}};
  std::copy(wanted.begin(), wanted.end(), fds + 1);
  if (poll(fds, std::size(fds), -1) < 0) {
    return errno == EINTR ? absl::OkStatus() : os::ErrnoStatus(errno, "poll");
  }
  std::copy(fds + 1, std::end(fds), wanted.begin());
  if (relay != nullptr) relay->Copy(wanted);
  return absl::OkStatus();
}

absl::StatusOr<int> Foreground::Await(pid_t pid, int pidfd, TerminalRelay* relay) const {
  for (;;) {
    // A subreaper's: children of the container's that lost their parents come and go, too.
    int status = 0;
    for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG | __WALL)) > 0;) {
      if (ended != pid) continue;
      if (relay != nullptr) relay->Drain(Deadline::After(kDrainLimit));
      return ExitCodeOf(status);
    }
    if (errno == ECHILD) return os::ErrnoStatus(ECHILD, absl::StrCat("wait for process ", pid));
    RETURN_IF_ERROR(Wait(relay));
    PassOn(pidfd, relay);
  }
}

}  // namespace berth::shim::front
