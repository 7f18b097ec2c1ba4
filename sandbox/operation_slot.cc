#include "sandbox/operation_slot.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace berth::sandbox {

absl::StatusOr<OperationSlot::Held> OperationSlot::Acquire(absl::string_view operation,
                                                           Deadline deadline) {
  MutexLock lock(&mu_);
  while (!holder_.empty()) {
    if (deadline.Expired()) {
      const absl::Duration busy = absl::Nanoseconds(MonotonicNanos() - since_);
      return absl::DeadlineExceededError(absl::StrCat("wait to ", operation, ": busy with ",
                                                      holder_, " for ", absl::ToInt64Seconds(busy),
                                                      "s"));
    }
    (void)free_.WaitFor(
        &mu_, std::min(deadline.Remaining(), absl::Hours(1)));  // the loop looks at both causes
  }
  holder_ = std::string(operation);
  since_ = MonotonicNanos();
  return Held(this);
}

void OperationSlot::Release() {
  MutexLock lock(&mu_);
  holder_.clear();
  free_.NotifyOne();
}

}  // namespace berth::sandbox
