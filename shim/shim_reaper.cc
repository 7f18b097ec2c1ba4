#include "shim/shim_reaper.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "base/log.h"
#include "base/os/errno_status.h"

namespace berth::shim {

absl::StatusOr<std::unique_ptr<ShimReaper>> ShimReaper::Start() {
  os::UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  os::UniqueFd stop(eventfd(0, EFD_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  if (!epoll.valid() || !stop.valid() ||
      epoll_ctl(epoll.get(), EPOLL_CTL_ADD, stop.get(), &event) != 0) {
    return os::ErrnoStatus(errno, "start shim reaper");
  }
  std::unique_ptr<ShimReaper> reaper(new ShimReaper(std::move(epoll), std::move(stop)));
  reaper->thread_ = std::thread(&ShimReaper::Loop, reaper.get());
  return reaper;
}

ShimReaper::~ShimReaper() {
  const uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof one);  // an eventfd takes it
  thread_.join();
}

void ShimReaper::Add(os::Child child) {
  const pid_t pid = child.pid;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = static_cast<uint64_t>(pid);
  MutexLock lock(&mu_);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, child.pidfd.get(), &event) != 0) {
    LogWarning("shim will not be reaped", {{"pid", pid}, {"cause", os::ErrnoText(errno)}});
    return;
  }
  children_.emplace(pid, std::move(child));
}

void ShimReaper::Loop() {
  for (;;) {
    epoll_event event;
    const int n = epoll_wait(epoll_.get(), &event, 1, -1);
    if (n < 0 && errno != EINTR) {
      LogError("shim reaper stopped", {{"cause", os::ErrnoText(errno)}});
      return;
    }
    if (n <= 0) continue;
    if (event.data.u64 == 0) return;
    const pid_t pid = static_cast<pid_t>(event.data.u64);
    // Forgotten before it is reaped: afterwards the pid may be that of a new shim.
    {
      MutexLock lock(&mu_);
      children_.erase(pid);
    }
    (void)waitpid(pid, nullptr, 0);  // has ended; its status says nothing that its record does not
  }
}

}  // namespace berth::shim
