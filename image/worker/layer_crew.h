// The layers of one image, each worked on by whichever thread is free, until all are done, one
// fails or the daemon hangs up. Single use; one thread calls Run.
#pragma once

#include <atomic>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "base/os/unique_fd.h"

namespace berth::worker {

class LayerCrew {
 public:
  // `socket_fd`: to the daemon, which says nothing meanwhile. `stop` is set when the work is in
  // vain, for those who work.
  LayerCrew(int socket_fd, std::atomic<bool>* stop) : socket_fd_(socket_fd), stop_(stop) {}

  using Work = std::function<absl::Status(size_t thread, size_t index)>;
  // Calls work(thread, 0..count-1), and `tick` every now and then. The first error is the one that
  // comes back: the others are mostly its consequence. Cancelled: the daemon closed the socket.
  absl::Status Run(size_t threads, size_t count, const Work& work,
                   const std::function<absl::Status()>& tick = nullptr,
                   absl::Duration interval = absl::InfiniteDuration());

 private:
  void Loop(size_t thread, size_t count, const Work& work);
  void Fail(const absl::Status& status);
  void Wait(const std::function<absl::Status()>& tick, absl::Duration interval);

  const int socket_fd_;
  std::atomic<bool>* const stop_;
  os::UniqueFd all_ended_;
  std::atomic<size_t> next_{0};
  std::atomic<size_t> running_{0};
  Mutex mu_;
  absl::Status first_error_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth::worker
