#include "image/worker/layer_crew.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "base/os/errno_status.h"

namespace berth::worker {

absl::Status LayerCrew::Run(size_t threads, size_t count, const Work& work,
                            const std::function<absl::Status()>& tick, absl::Duration interval) {
  all_ended_ = os::UniqueFd(eventfd(0, EFD_CLOEXEC));
  if (!all_ended_.valid()) return os::ErrnoStatus(errno, "eventfd");
  const size_t crew = std::min(threads, count);
  if (crew == 0) return absl::OkStatus();
  running_ = crew;
  std::vector<std::thread> running;
  running.reserve(crew);
  for (size_t i = 0; i < crew; ++i) running.emplace_back([&, i] { Loop(i, count, work); });
  Wait(tick, interval);
  for (std::thread& thread : running) thread.join();
  MutexLock lock(&mu_);
  return first_error_;
}

void LayerCrew::Loop(size_t thread, size_t count, const Work& work) {
  for (;;) {
    const size_t mine = next_.fetch_add(1);
    if (mine >= count || stop_->load()) break;
    Fail(work(thread, mine));
  }
  if (running_.fetch_sub(1) == 1) {
    const uint64_t one = 1;
    // An eventfd whose counter is 0 takes any write.
    (void)!write(all_ended_.get(), &one, sizeof one);
  }
}

void LayerCrew::Fail(const absl::Status& status) {
  if (status.ok()) return;
  MutexLock lock(&mu_);
  if (first_error_.ok()) first_error_ = status;
  stop_->store(true);
}

void LayerCrew::Wait(const std::function<absl::Status()>& tick, absl::Duration interval) {
  const int millis = tick == nullptr ? -1 : static_cast<int>(absl::ToInt64Milliseconds(interval));
  pollfd fds[2] = {{all_ended_.get(), POLLIN, 0}, {socket_fd_, POLLIN | POLLRDHUP, 0}};
  for (;;) {
    const int n = poll(fds, 2, millis);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) {
      Fail(tick());
      continue;
    }
    if ((fds[0].revents & POLLIN) != 0) return;
    // The daemon has nothing to say now: whatever comes means that it is gone.
    Fail(absl::CancelledError("the daemon closed the socket"));
    return;
  }
}

}  // namespace berth::worker
