// Cancel: tells work that nobody waits for its result any more. One side sets it, the other looks
// at it between steps or polls its fd beside what it waits for.
// Thread-safe.
#pragma once

#include <atomic>

#include "base/mutex.h"

namespace berth {

class Cancel {
 public:
  Cancel() = default;
  Cancel(const Cancel&) = delete;
  Cancel& operator=(const Cancel&) = delete;
  ~Cancel();

  // Once and for all. Never blocks.
  void Set();

  bool cancelled() const { return set_.load(std::memory_order_acquire); }

  // For poll(2): readable once it is set. Made by the first call, so that work which never waits
  // costs no descriptor; this object's. -1, which poll ignores, when there are none left.
  int fd() const;

 private:
  mutable Mutex mu_;
  std::atomic<bool> set_{false};
  mutable int fd_ ABSL_GUARDED_BY(mu_) = -1;
};

}  // namespace berth
