// Time: wall clock for what is recorded, a monotonic Deadline for every wait.
// Thread-safe: value types and pure functions.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace berth {

// Nanoseconds since the Unix epoch (CRI's created_at, started_at, finished_at).
int64_t WallNanos();

// Nanoseconds of CLOCK_MONOTONIC.
int64_t MonotonicNanos();

// A point in monotonic time by which a wait ends. Unaffected by clock steps.
class Deadline {
 public:
  static Deadline After(absl::Duration d);
  static Deadline Infinite() { return Deadline(INT64_MAX); }

  // Zero when passed, InfiniteDuration() when infinite.
  absl::Duration Remaining() const;
  bool Expired() const { return Remaining() <= absl::ZeroDuration(); }
  // For poll(2): milliseconds rounded up, -1 when infinite, never above one hour.
  int PollMillis() const;
  // The earlier of the two.
  Deadline Min(Deadline other) const { return nanos_ < other.nanos_ ? *this : other; }

 private:
  explicit Deadline(int64_t nanos) : nanos_(nanos) {}
  int64_t nanos_;
};

}  // namespace berth
