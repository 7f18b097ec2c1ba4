// Store: versioned records in one SQLite database (WAL). A record is (kind, id) -> version + bytes;
// what the bytes mean is the caller's business (protobuf messages of proto/records.proto).
// Thread-safe: one connection, one mutex, short transactions; readers of live state do not come
// here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::store {

struct Record {
  std::string kind;
  std::string id;
  uint32_t version = 0;
  std::string body;
};

// kNormal survives kill -9 of the daemon (container state: after a host crash no container runs).
// kFull survives a power cut (images).
enum class Sync { kNormal, kFull };

// A set of changes applied in one transaction, in order.
class Batch {
 public:
  Batch& Put(Record record);
  Batch& Delete(absl::string_view kind, absl::string_view id);  // absent is success
  bool empty() const { return changes_.empty(); }

  // For implementations of Store.
  struct Change {
    Record record;  // of a deletion: kind and id
    bool is_delete = false;
  };
  const std::vector<Change>& changes() const { return changes_; }

 private:
  std::vector<Change> changes_;
};

class Store {
 public:
  // Opens or makes `path`. A database that fails SQLite's own check is renamed to
  // `path`.corrupt-<time> and a new one begun, with a warning in the log: a bad file never keeps
  // the daemon from starting. FailedPrecondition for a schema newer than this program's.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& path);
  virtual ~Store() = default;

  // All of it or nothing. On an error the records are as before.
  virtual absl::Status Commit(const Batch& batch, Sync sync) = 0;
  // Every record of a kind, by id.
  virtual absl::StatusOr<std::vector<Record>> Load(absl::string_view kind) = 0;
  // Puts a record that cannot be understood out of the way, kept for a person to look at. NotFound:
  // there is none.
  virtual absl::Status Quarantine(absl::string_view kind, absl::string_view id,
                                  absl::string_view reason) = 0;
  virtual absl::StatusOr<uint64_t> CountQuarantined() = 0;
};

// For tests of callers: same behaviour, nothing on disk.
std::unique_ptr<Store> MakeMemoryStore();

}  // namespace berth::store
