// RecordCell: one object's record, on disk and as the immutable view that readers see.
// Update edits a copy, commits it, then publishes: a reader never sees what a crash would lose.
// Thread-safe. `commit_mu_` orders the commits of one object and may span the store's short
// transaction; `view_mu_` is held for a pointer copy only, so Status and List never wait for disk.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "base/store/store.h"
#include "sandbox/records.h"

namespace berth::sandbox {

// View: has a member `record` and is made by `static View Make(id, Record)`.
template <typename View, typename Record>
class RecordCell {
 public:
  using ViewPtr = std::shared_ptr<const View>;

  RecordCell(std::string id, Record record)
      : id_(std::move(id)),
        view_(std::make_shared<const View>(View::Make(id_, std::move(record)))) {}

  ViewPtr view() const {
    MutexLock lock(&view_mu_);
    return view_;
  }

  // An error of `edit` changes nothing. OK and unchanged when `edit` leaves the record as it is.
  absl::Status Update(store::Store& store, absl::FunctionRef<absl::Status(Record&)> edit) {
    MutexLock commit(&commit_mu_);
    Record record = view()->record;
    RETURN_IF_ERROR(edit(record));
    store::Batch batch;
    batch.Put(ToStored(id_, record));
    RETURN_IF_ERROR(store.Commit(batch, store::Sync::kNormal));
    Publish(std::make_shared<const View>(View::Make(id_, std::move(record))));
    return absl::OkStatus();
  }

  // False when `done` does not hold by then.
  bool WaitUntil(absl::FunctionRef<bool(const View&)> done, Deadline deadline) {
    MutexLock lock(&view_mu_);
    while (!done(*view_)) {
      if (deadline.Expired()) return false;
      (void)published_.WaitFor(
          &view_mu_,
          std::min(deadline.Remaining(), absl::Hours(1)));  // the loop looks at both causes
    }
    return true;
  }

  // Makes every WaitUntil look again.
  void Wake() {
    MutexLock lock(&view_mu_);
    published_.NotifyAll();
  }

 private:
  void Publish(ViewPtr next) {
    MutexLock lock(&view_mu_);
    view_ = std::move(next);
    published_.NotifyAll();
  }

  const std::string id_;
  Mutex commit_mu_;
  mutable Mutex view_mu_;
  CondVar published_;
  ViewPtr view_ ABSL_GUARDED_BY(view_mu_);
};

}  // namespace berth::sandbox
