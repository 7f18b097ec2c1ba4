// ProcessWatcher: one thread that waits for the end of processes, children of this one or not.
// Thread-safe. Callbacks run on the watcher's thread: they must be short and never block.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/os/unique_fd.h"

namespace berth::os {

class ProcessWatcher {
 public:
  using Callback = std::function<void(const std::string& key)>;

  static absl::StatusOr<std::unique_ptr<ProcessWatcher>> Start(Callback callback);
  // Stops and joins the thread; processes live on.
  ~ProcessWatcher();
  ProcessWatcher(const ProcessWatcher&) = delete;
  ProcessWatcher& operator=(const ProcessWatcher&) = delete;

  // Takes a pidfd. One call follows when its process has ended, then it is forgotten. One of the
  // same key before it is forgotten without.
  absl::Status Add(const std::string& key, UniqueFd pidfd);
  // Forgets it without a call. Unknown is fine.
  void Remove(const std::string& key);

 private:
  struct Watched {
    std::string key;
    UniqueFd pidfd;
  };

  ProcessWatcher(Callback callback, UniqueFd epoll, UniqueFd stop)
      : callback_(std::move(callback)), epoll_(std::move(epoll)), stop_(std::move(stop)) {}
  void Forget(const std::string& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Loop();
  void Tell(uint64_t token) ABSL_LOCKS_EXCLUDED(mu_);

  const Callback callback_;
  const UniqueFd epoll_;
  const UniqueFd stop_;
  std::thread thread_;
  Mutex mu_;
  uint64_t last_token_ ABSL_GUARDED_BY(mu_) = 0;  // 0 is the stop event
  std::map<uint64_t, Watched> watched_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, uint64_t> tokens_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth::os
