// PullTable: the pulls under way, by what they pull and with whose credentials. A second caller of
// the same joins the first one's pull and gets its result.
//
//   Join ──► absent ──► queued ──► running ──► settled: every caller has the result
//              ▲           └───────────┴── the last caller left: abandoned, and the next one who
//              └───────────────────────── wants the same starts anew
//
// Runs at most so many at a time, each on a thread of its own; who waits for one brings his own.
// Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/cancel.h"
#include "base/mutex.h"
#include "base/worker_pool.h"
#include "image/image_store.h"

namespace berth::image {

struct PullKey {
  std::string reference;  // canonical
  RegistryAuth auth;
  auto operator<=>(const PullKey&) const = default;
};

class PullTable {
 public:
  using Result = absl::StatusOr<ImagePtr>;

  // What the work of a pull has of its callers.
  class Pull {
   public:
    // Set when nobody waits for the result any more.
    const Cancel& abandoned() const { return abandoned_; }
    void Report(uint64_t bytes_received, uint64_t bytes_total);
    uint64_t bytes_received() const { return bytes_received_; }

   private:
    friend class PullTable;
    Cancel abandoned_;
    Cancel settled_;  // a latch: result_ is there and changes no more
    Result result_ = absl::UnknownError("pull under way");
    const int64_t began_ = MonotonicNanos();
    std::atomic<bool> running_{false};
    std::atomic<uint64_t> bytes_received_{0};
    std::atomic<uint64_t> bytes_total_{0};
    int callers_ = 0;  // under the table's mutex
  };
  using Work = std::function<Result(Pull*)>;

  // `on_abandon` runs after a pull was abandoned, on the thread of the caller who left.
  PullTable(size_t max_concurrent, std::function<void()> on_abandon);
  // Abandons all and waits for their ends.
  ~PullTable();

  // The result of the pull under way for `key`, or of `work`. Cancelled: this caller left.
  // ResourceExhausted: too many wait already.
  Result Join(const PullKey& key, const Cancel& cancel, Work work);

  std::vector<PullStatus> List() const;

 private:
  using PullPtr = std::shared_ptr<Pull>;
  void Settle(const PullKey& key, const PullPtr& pull, Result result);
  void Leave(const PullKey& key, const PullPtr& pull);
  void Forget(const PullKey& key, const PullPtr& pull) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::function<void()> on_abandon_;
  mutable Mutex mu_;
  std::map<PullKey, PullPtr> pulls_ ABSL_GUARDED_BY(mu_);
  WorkerPool pool_;  // last, so that it ends before the rest goes
};

}  // namespace berth::image
