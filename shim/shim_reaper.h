// ShimReaper: waits for the shims that this process started, so that none stays a zombie. One
// thread, no polling. Thread-safe.
#pragma once

#include <map>
#include <thread>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/os/spawn.h"
#include "base/os/unique_fd.h"

namespace berth::shim {

class ShimReaper {
 public:
  static absl::StatusOr<std::unique_ptr<ShimReaper>> Start();
  // Stops the thread; shims live on.
  ~ShimReaper();
  ShimReaper(const ShimReaper&) = delete;
  ShimReaper& operator=(const ShimReaper&) = delete;

  void Add(os::Child child);

 private:
  ShimReaper(os::UniqueFd epoll, os::UniqueFd stop)
      : epoll_(std::move(epoll)), stop_(std::move(stop)) {}
  void Loop();

  const os::UniqueFd epoll_;
  const os::UniqueFd stop_;
  std::thread thread_;
  Mutex mu_;
  std::map<pid_t, os::Child> children_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth::shim
