#include "base/os/process_watcher.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "base/log.h"
#include "base/os/errno_status.h"

namespace berth::os {

absl::StatusOr<std::unique_ptr<ProcessWatcher>> ProcessWatcher::Start(Callback callback) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  UniqueFd stop(eventfd(0, EFD_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  if (!epoll.valid() || !stop.valid() ||
      epoll_ctl(epoll.get(), EPOLL_CTL_ADD, stop.get(), &event) != 0) {
    return ErrnoStatus(errno, "start process watcher");
  }
  std::unique_ptr<ProcessWatcher> watcher(
      new ProcessWatcher(std::move(callback), std::move(epoll), std::move(stop)));
  watcher->thread_ = std::thread(&ProcessWatcher::Loop, watcher.get());
  return watcher;
}

ProcessWatcher::~ProcessWatcher() {
  const uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof one);  // an eventfd takes it
  thread_.join();
}

absl::Status ProcessWatcher::Add(const std::string& key, UniqueFd pidfd) {
  MutexLock lock(&mu_);
  Forget(key);
  const uint64_t token = ++last_token_;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = token;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pidfd.get(), &event) != 0) {
    return ErrnoStatus(errno, "watch process");
  }
  tokens_[key] = token;
  watched_.emplace(token, Watched{key, std::move(pidfd)});
  return absl::OkStatus();
}

void ProcessWatcher::Remove(const std::string& key) {
  MutexLock lock(&mu_);
  Forget(key);
}

void ProcessWatcher::Forget(const std::string& key) {
  const auto it = tokens_.find(key);
  if (it == tokens_.end()) return;
  watched_.erase(it->second);  // closing it takes it out of the epoll set
  tokens_.erase(it);
}

// Tokens, not fds, are in the events: one of a process forgotten meanwhile finds nothing.
void ProcessWatcher::Loop() {
  for (;;) {
    epoll_event events[16];
    const int n = epoll_wait(epoll_.get(), events, 16, -1);
    if (n < 0 && errno != EINTR) {
      LogError("process watcher stopped", {{"cause", ErrnoText(errno)}});
      return;
    }
    for (int i = 0; i < n; ++i) {
      if (events[i].data.u64 == 0) return;
      Tell(events[i].data.u64);
    }
  }
}

void ProcessWatcher::Tell(uint64_t token) {
  std::string key;
  {
    MutexLock lock(&mu_);
    const auto it = watched_.find(token);
    if (it == watched_.end()) return;
    key = it->second.key;
    Forget(key);
  }
  callback_(key);
}

}  // namespace berth::os
