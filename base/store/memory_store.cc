#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/store/store.h"

namespace berth::store {
namespace {

class MemoryStore : public Store {
 public:
  absl::Status Commit(const Batch& batch, Sync /*sync*/) override {
    MutexLock lock(&mu_);
    for (const Batch::Change& change : batch.changes()) {
      const std::pair<std::string, std::string> key(change.record.kind, change.record.id);
      if (change.is_delete) {
        records_.erase(key);
      } else {
        records_[key] = change.record;
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Record>> Load(absl::string_view kind) override {
    MutexLock lock(&mu_);
    std::vector<Record> found;
    for (const auto& [key, record] : records_) {
      if (key.first == kind) found.push_back(record);
    }
    return found;
  }

  absl::Status Quarantine(absl::string_view kind, absl::string_view id,
                          absl::string_view /*reason*/) override {
    MutexLock lock(&mu_);
    if (records_.erase({std::string(kind), std::string(id)}) == 0) {
      return absl::NotFoundError(absl::StrCat("quarantine ", kind, " ", id, ": no such record"));
    }
    ++quarantined_;
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> CountQuarantined() override {
    MutexLock lock(&mu_);
    return quarantined_;
  }

 private:
  Mutex mu_;
  std::map<std::pair<std::string, std::string>, Record> records_ ABSL_GUARDED_BY(mu_);
  uint64_t quarantined_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace

std::unique_ptr<Store> MakeMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace berth::store
