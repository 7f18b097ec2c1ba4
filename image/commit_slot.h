// CommitSlot: changes of the image records happen one at a time, each from the snapshot that the
// one before published. A slot and not a mutex, since a commit waits for the disk. Thread-safe.
#pragma once

#include <utility>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace berth::image {

class CommitSlot {
 public:
  // Gives the slot back when destroyed.
  class [[nodiscard]] Lease {
   public:
    explicit Lease(CommitSlot* slot) : slot_(slot) {}
    Lease(Lease&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
    Lease& operator=(Lease&& other) = delete;
    ~Lease() {
      if (slot_ != nullptr) slot_->Release();
    }

   private:
    CommitSlot* slot_;
  };

  absl::StatusOr<Lease> Take(Deadline deadline) {
    MutexLock lock(&mu_);
    while (taken_) {
      if (deadline.Expired()) return absl::DeadlineExceededError("wait for the image records");
      (void)free_.WaitFor(&mu_, absl::Seconds(1));  // the loop looks again
    }
    taken_ = true;
    return Lease(this);
  }

 private:
  void Release() {
    MutexLock lock(&mu_);
    taken_ = false;
    free_.NotifyOne();
  }

  Mutex mu_;
  CondVar free_;
  bool taken_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace berth::image
