#include "shim/watcher.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <map>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"
#include "shim/connection.h"

namespace berth::shim {
namespace {

class WatcherImpl : public Watcher {
 public:
  WatcherImpl(Callback callback, os::UniqueFd epoll, os::UniqueFd stop)
      : callback_(std::move(callback)), epoll_(std::move(epoll)), stop_(std::move(stop)) {}
  ~WatcherImpl() override {
    const uint64_t one = 1;
    (void)!write(stop_.get(), &one, sizeof one);  // an eventfd takes it
    thread_.join();
  }

  void Begin() { thread_ = std::thread(&WatcherImpl::Loop, this); }

  absl::Status Add(const ContainerId& id, os::UniqueFd connection) override {
    MutexLock lock(&mu_);
    Forget(id);
    const uint64_t token = ++last_token_;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP;
    event.data.u64 = token;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.get(), &event) != 0) {
      return os::ErrnoStatus(errno, "watch shim");
    }
    tokens_[id] = token;
    watched_.emplace(token, Watched{id, std::move(connection)});
    return absl::OkStatus();
  }

  void Remove(const ContainerId& id) override {
    MutexLock lock(&mu_);
    Forget(id);
  }

 private:
  struct Watched {
    ContainerId id;
    os::UniqueFd connection;
  };

  void Forget(const ContainerId& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto it = tokens_.find(id);
    if (it == tokens_.end()) return;
    watched_.erase(it->second);  // closing it takes it out of the epoll set
    tokens_.erase(it);
  }

  // Tokens, not fds, are in the events: one of a connection forgotten meanwhile finds nothing.
  void Loop() {
    for (;;) {
      epoll_event events[64];
      const int n = epoll_wait(epoll_.get(), events, 64, -1);
      if (n < 0 && errno != EINTR) {
        LogError("shim watcher stopped", {{"cause", os::ErrnoText(errno)}});
        return;
      }
      for (int i = 0; i < n; ++i) {
        if (events[i].data.u64 == 0) return;
        Tell(events[i].data.u64);
      }
    }
  }

  void Tell(uint64_t token) ABSL_LOCKS_EXCLUDED(mu_) {
    mu_.Lock();
    auto node = watched_.extract(token);
    if (!node.empty()) tokens_.erase(node.mapped().id);
    mu_.Unlock();
    if (node.empty()) return;
    const auto reply = ReceiveReply(node.mapped().connection.get(), protocol::Op::kWatch,
                                    Deadline::After(absl::ZeroDuration()));
    const bool exited =
        reply.ok() && reply->phase == static_cast<uint32_t>(protocol::Phase::kExited);
    callback_(node.mapped().id, exited ? WatchEvent::kExited : WatchEvent::kShimGone);
  }

  const Callback callback_;
  const os::UniqueFd epoll_;
  const os::UniqueFd stop_;
  std::thread thread_;
  Mutex mu_;
  uint64_t last_token_ ABSL_GUARDED_BY(mu_) = 0;  // 0 is the stop event
  std::map<uint64_t, Watched> watched_ ABSL_GUARDED_BY(mu_);
  std::map<ContainerId, uint64_t> tokens_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<Watcher>> Watcher::Start(Callback callback) {
  os::UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  os::UniqueFd stop(eventfd(0, EFD_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  if (!epoll.valid() || !stop.valid() ||
      epoll_ctl(epoll.get(), EPOLL_CTL_ADD, stop.get(), &event) != 0) {
    return os::ErrnoStatus(errno, "start shim watcher");
  }
  auto watcher =
      std::make_unique<WatcherImpl>(std::move(callback), std::move(epoll), std::move(stop));
  watcher->Begin();
  return watcher;
}

}  // namespace berth::shim
