// OperationSlot: serialises the lifecycle calls on one object. It may span slow work, so waiting
// for it has a deadline and the error says who holds it and since when. Not a mutex: fields have
// their own.
// Thread-safe.
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace berth::sandbox {

class OperationSlot {
 public:
  // Holding it; let go by the destructor.
  class [[nodiscard]] Held {
   public:
    Held(Held&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
    Held& operator=(Held&&) = delete;
    ~Held() {
      if (slot_ != nullptr) slot_->Release();
    }

   private:
    friend class OperationSlot;
    explicit Held(OperationSlot* slot) : slot_(slot) {}
    OperationSlot* slot_;
  };

  // DeadlineExceeded: "wait to start container: busy with stop pod sandbox for 12s".
  absl::StatusOr<Held> Acquire(absl::string_view operation, Deadline deadline);

 private:
  void Release();

  Mutex mu_;
  CondVar free_;
  std::string holder_ ABSL_GUARDED_BY(mu_);  // "" = free
  int64_t since_ ABSL_GUARDED_BY(mu_) = 0;   // monotonic nanoseconds
};

}  // namespace berth::sandbox
