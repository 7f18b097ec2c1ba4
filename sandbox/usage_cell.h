// UsageCell: what is kept between two readings of one cgroup: its open meter and the last CPU
// sample. LayerCell: what a writable layer was last seen to hold. Thread-safe; no lock is held over
// a reading.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/os/cgroup_stats.h"
#include "sandbox/resource_port.h"

namespace berth::sandbox {

class UsageCell {
 public:
  // The first call opens the meter; it is kept until Close.
  absl::StatusOr<os::CgroupStats> Read(ResourcePort& port, const std::string& cgroup);

  // CPU nanoseconds a second since the sample before, 10^9 = one core. Unset at the first sample:
  // kubelet then computes its own. Samples closer than kMinInterval give the rate of the last pair.
  std::optional<uint64_t> NanoCores(uint64_t usage_ns, int64_t monotonic_ns);

  // Lets go of the fds, for good: a cgroup that is about to go must not be held in memory.
  void Close();

  static constexpr int64_t kMinIntervalNs = 1'000'000'000;

 private:
  Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  MeterPtr meter_ ABSL_GUARDED_BY(mu_);
  int64_t sampled_at_ ABSL_GUARDED_BY(mu_) = 0;  // 0 = no sample yet
  uint64_t sampled_ ABSL_GUARDED_BY(mu_) = 0;
  std::optional<uint64_t> rate_ ABSL_GUARDED_BY(mu_);
};

struct LayerSample {
  uint64_t bytes = 0;
  uint64_t inodes = 0;
  int64_t measured_at = 0;  // wall clock, nanoseconds
};

struct LayerCell {
  Mutex mu;
  CondVar measured;
  bool queued ABSL_GUARDED_BY(mu) = false;
  int64_t next_at ABSL_GUARDED_BY(mu) = 0;  // monotonic nanoseconds; not measured again before
  std::optional<LayerSample> last ABSL_GUARDED_BY(mu);
};

}  // namespace berth::sandbox
