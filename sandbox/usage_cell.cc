#include "sandbox/usage_cell.h"

#include "base/status_macros.h"

namespace berth::sandbox {

absl::StatusOr<os::CgroupStats> UsageCell::Read(ResourcePort& port, const std::string& cgroup) {
  MeterPtr meter;
  {
    MutexLock lock(&mu_);
    meter = meter_;
  }
  if (meter == nullptr) {
    ASSIGN_OR_RETURN(meter, port.OpenMeter(cgroup));
    MutexLock lock(&mu_);
    if (!closed_ && meter->may_keep && meter_ == nullptr) meter_ = meter;
  }
  return meter->read();
}

std::optional<uint64_t> UsageCell::NanoCores(uint64_t usage_ns, int64_t monotonic_ns) {
  MutexLock lock(&mu_);
  if (sampled_at_ != 0 && monotonic_ns - sampled_at_ < kMinIntervalNs) return rate_;
  if (sampled_at_ != 0 && usage_ns >= sampled_) {
    const double seconds = static_cast<double>(monotonic_ns - sampled_at_) / 1e9;
    rate_ = static_cast<uint64_t>(static_cast<double>(usage_ns - sampled_) / seconds);
  } else {
    rate_.reset();
  }
  sampled_at_ = monotonic_ns;
  sampled_ = usage_ns;
  return rate_;
}

void UsageCell::Close() {
  MeterPtr closed;  // its fds are closed outside the lock
  MutexLock lock(&mu_);
  closed_ = true;
  closed.swap(meter_);
}

}  // namespace berth::sandbox
