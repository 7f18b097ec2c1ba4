#include "base/clock.h"

#include <time.h>

#include <algorithm>

namespace berth {
namespace {

int64_t Read(clockid_t id) {
  timespec ts{};
  clock_gettime(id, &ts);
  return int64_t{ts.tv_sec} * 1000000000 + ts.tv_nsec;
}

}  // namespace

int64_t WallNanos() { return Read(CLOCK_REALTIME); }
int64_t MonotonicNanos() { return Read(CLOCK_MONOTONIC); }

Deadline Deadline::After(absl::Duration d) {
  if (d == absl::InfiniteDuration()) return Infinite();
  const int64_t now = MonotonicNanos();
  const int64_t delta = std::max<int64_t>(0, absl::ToInt64Nanoseconds(d));
  return Deadline(delta > INT64_MAX - now ? INT64_MAX : now + delta);
}

absl::Duration Deadline::Remaining() const {
  if (nanos_ == INT64_MAX) return absl::InfiniteDuration();
  return absl::Nanoseconds(std::max<int64_t>(0, nanos_ - MonotonicNanos()));
}

int Deadline::PollMillis() const {
  if (nanos_ == INT64_MAX) return -1;
  const int64_t left = std::max<int64_t>(0, nanos_ - MonotonicNanos());
  return static_cast<int>(std::min<int64_t>((left + 999999) / 1000000, int64_t{3600} * 1000));
}

}  // namespace berth
