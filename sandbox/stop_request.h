// StopRequest: what the StopContainer calls in flight on one container agree on: one signal, and
// the earliest of their kill times. Thread-safe.
#pragma once

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace berth::sandbox {

class StopRequest {
 public:
  // True for the one caller who has to send the stop signal (none when timeout is zero).
  bool Join(absl::Duration timeout) {
    const Deadline wanted = Deadline::After(timeout);
    MutexLock lock(&mu_);
    kill_at_ = kill_at_.Min(wanted);
    ++generation_;
    if (timeout <= absl::ZeroDuration() || signalled_) return false;
    signalled_ = true;
    return true;
  }
  // Nobody listens to the signal: no reason to wait out the grace.
  void KillNow() {
    MutexLock lock(&mu_);
    kill_at_ = kill_at_.Min(Deadline::After(absl::ZeroDuration()));
    ++generation_;
  }
  Deadline kill_at() const {
    MutexLock lock(&mu_);
    return kill_at_;
  }
  // Changes when kill_at may have.
  int generation() const {
    MutexLock lock(&mu_);
    return generation_;
  }

 private:
  mutable Mutex mu_;
  Deadline kill_at_ ABSL_GUARDED_BY(mu_) = Deadline::Infinite();
  int generation_ ABSL_GUARDED_BY(mu_) = 0;
  bool signalled_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace berth::sandbox
