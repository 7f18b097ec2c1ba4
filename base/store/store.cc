#include "base/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::store {
namespace {

// PRAGMA user_version. 1: table `records` and table `quarantine` as below.
constexpr int kSchemaVersion = 1;
constexpr char kSchema[] = R"(
  CREATE TABLE IF NOT EXISTS records(
    kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY(kind, id)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS quarantine(
    kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
    reason TEXT NOT NULL, at_unix INTEGER NOT NULL);
  PRAGMA user_version = 1;)";
// A person with the sqlite3 shell open must not make commits fail at once.
constexpr int kBusyMillis = 5000;

struct CloseDb {
  void operator()(sqlite3* db) const { (void)sqlite3_close_v2(db); }
};
struct Finalize {
  void operator()(sqlite3_stmt* statement) const { (void)sqlite3_finalize(statement); }
};
using Db = std::unique_ptr<sqlite3, CloseDb>;
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

absl::Status DbError(sqlite3* db, int code, absl::string_view what) {
  const std::string message = absl::StrCat(what, ": ", sqlite3_errmsg(db));
  switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::ResourceExhaustedError(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::Status Exec(sqlite3* db, const char* sql, absl::string_view what) {
  const int code = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : DbError(db, code, what);
}

absl::StatusOr<Statement> Prepare(sqlite3* db, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return DbError(db, code, "prepare statement");
  return Statement(statement);
}

// First column of the first row.
absl::StatusOr<std::string> QueryText(sqlite3* db, const char* sql) {
  ASSIGN_OR_RETURN(const Statement statement, Prepare(db, sql));
  const int code = sqlite3_step(statement.get());
  if (code != SQLITE_ROW) return DbError(db, code, sql);
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), 0));
  return std::string(text == nullptr ? "" : text);
}

// A prepared statement while it is in use: reset and unbound when it goes out of scope.
class Use {
 public:
  explicit Use(const Statement& statement) : statement_(statement.get()) {}
  ~Use() {
    (void)sqlite3_reset(statement_);  // repeats the error of the step, which was looked at there
    (void)sqlite3_clear_bindings(statement_);
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  // The bytes must outlive this object. Binding fails only for a wrong index.
  Use& Text(int index, absl::string_view value) {
    (void)sqlite3_bind_text(statement_, index, value.data() == nullptr ? "" : value.data(),
                            static_cast<int>(value.size()), SQLITE_STATIC);
    return *this;
  }
  Use& Blob(int index, absl::string_view value) {
    (void)sqlite3_bind_blob64(statement_, index, value.empty() ? "" : value.data(), value.size(),
                              SQLITE_STATIC);
    return *this;
  }
  Use& Int(int index, int64_t value) {
    (void)sqlite3_bind_int64(statement_, index, value);
    return *this;
  }
  int Step() { return sqlite3_step(statement_); }
  std::string Bytes(int column) const {
    const void* data = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    return size == 0 ? std::string() : std::string(static_cast<const char*>(data), size);
  }
  int64_t Number(int column) const { return sqlite3_column_int64(statement_, column); }

 private:
  sqlite3_stmt* const statement_;
};

struct Statements {
  Statement begin, commit, rollback, put, erase, load, quarantine, count_quarantined;
};

absl::StatusOr<Statements> PrepareAll(sqlite3* db) {
  Statements s;
  ASSIGN_OR_RETURN(s.begin, Prepare(db, "BEGIN IMMEDIATE"));
  ASSIGN_OR_RETURN(s.commit, Prepare(db, "COMMIT"));
  ASSIGN_OR_RETURN(s.rollback, Prepare(db, "ROLLBACK"));
  ASSIGN_OR_RETURN(s.put, Prepare(db, "INSERT OR REPLACE INTO records VALUES(?1, ?2, ?3, ?4)"));
  ASSIGN_OR_RETURN(s.erase, Prepare(db, "DELETE FROM records WHERE kind = ?1 AND id = ?2"));
  ASSIGN_OR_RETURN(
      s.load, Prepare(db, "SELECT id, version, body FROM records WHERE kind = ?1 ORDER BY id"));
  ASSIGN_OR_RETURN(s.quarantine,
                   Prepare(db,
                           "INSERT INTO quarantine SELECT kind, id, version, body, ?3, ?4 "
                           "FROM records WHERE kind = ?1 AND id = ?2"));
  ASSIGN_OR_RETURN(s.count_quarantined, Prepare(db, "SELECT count(*) FROM quarantine"));
  return s;
}

class SqliteStore : public Store {
 public:
  SqliteStore(Db db, Statements statements)
      : db_(std::move(db)), statements_(std::move(statements)) {}

  absl::Status Commit(const Batch& batch, Sync sync) override {
    if (batch.empty()) return absl::OkStatus();
    MutexLock lock(&mu_);
    return Transaction(sync, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> absl::Status {
      for (const Batch::Change& change : batch.changes()) RETURN_IF_ERROR(Apply(change));
      return absl::OkStatus();
    });
  }

  absl::StatusOr<std::vector<Record>> Load(absl::string_view kind) override {
    MutexLock lock(&mu_);
    Use load(statements_.load);
    load.Text(1, kind);
    std::vector<Record> records;
    int code;
    while ((code = load.Step()) == SQLITE_ROW) {
      records.push_back(
          {std::string(kind), load.Bytes(0), static_cast<uint32_t>(load.Number(1)), load.Bytes(2)});
    }
    if (code != SQLITE_DONE) return DbError(db_.get(), code, absl::StrCat("load ", kind));
    return records;
  }

  absl::Status Quarantine(absl::string_view kind, absl::string_view id,
                          absl::string_view reason) override {
    MutexLock lock(&mu_);
    return Transaction(Sync::kNormal, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> absl::Status {
      Use copy(statements_.quarantine);
      copy.Text(1, kind).Text(2, id).Text(3, reason).Int(4, absl::ToUnixSeconds(absl::Now()));
      RETURN_IF_ERROR(Done(copy.Step(), absl::StrCat("quarantine ", kind, " ", id)));
      if (sqlite3_changes(db_.get()) == 0) {
        return absl::NotFoundError(absl::StrCat("quarantine ", kind, " ", id, ": no such record"));
      }
      return Erase(kind, id);
    });
  }

  absl::StatusOr<uint64_t> CountQuarantined() override {
    MutexLock lock(&mu_);
    Use count(statements_.count_quarantined);
    const int code = count.Step();
    if (code != SQLITE_ROW) return DbError(db_.get(), code, "count quarantined records");
    return static_cast<uint64_t>(count.Number(0));
  }

 private:
  absl::Status Done(int code, absl::string_view what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return code == SQLITE_DONE ? absl::OkStatus() : DbError(db_.get(), code, what);
  }

  absl::Status Erase(absl::string_view kind, absl::string_view id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Use erase(statements_.erase);
    erase.Text(1, kind).Text(2, id);
    return Done(erase.Step(), absl::StrCat("delete ", kind, " ", id));
  }

  absl::Status Apply(const Batch::Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const Record& record = change.record;
    if (change.is_delete) return Erase(record.kind, record.id);
    Use put(statements_.put);
    put.Text(1, record.kind).Text(2, record.id).Int(3, record.version).Blob(4, record.body);
    return Done(put.Step(), absl::StrCat("put ", record.kind, " ", record.id));
  }

  // synchronous may not change inside a transaction, hence before it.
  absl::Status SetSync(Sync sync) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (sync_ == sync) return absl::OkStatus();
    RETURN_IF_ERROR(Exec(
        db_.get(), sync == Sync::kFull ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
        "set synchronous"));
    sync_ = sync;
    return absl::OkStatus();
  }

  template <typename Body>
  absl::Status Transaction(Sync sync, const Body& body) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    BERTH_FAILPOINT(store_before_commit);
    RETURN_IF_ERROR(SetSync(sync));
    RETURN_IF_ERROR(Done(Use(statements_.begin).Step(), "begin transaction"));
    absl::Status status = body();
    if (status.ok()) status = Done(Use(statements_.commit).Step(), "commit");
    if (!status.ok() && sqlite3_get_autocommit(db_.get()) == 0) {
      (void)Use(statements_.rollback).Step();  // the first error is the one to report
    }
    RETURN_IF_ERROR(status);
    BERTH_FAILPOINT(store_after_commit);
    return absl::OkStatus();
  }

  Mutex mu_;
  const Db db_;  // before the statements: closed after them
  Statements statements_ ABSL_GUARDED_BY(mu_);
  Sync sync_ ABSL_GUARDED_BY(mu_) = Sync::kFull;  // as Configure() leaves it
};

// A file that SQLite makes itself would follow the umask; -wal and -shm take the file's mode.
absl::Status MakePrivateFile(const std::string& path) {
  ASSIGN_OR_RETURN(const os::UniqueFd fd, os::Open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (fchmod(fd.get(), 0600) != 0) return os::ErrnoStatus(errno, absl::StrCat("chmod ", path));
  return absl::OkStatus();
}

absl::Status Configure(sqlite3* db) {
  (void)sqlite3_extended_result_codes(db, 1);
  (void)sqlite3_busy_timeout(db, kBusyMillis);
  ASSIGN_OR_RETURN(const std::string mode, QueryText(db, "PRAGMA journal_mode=WAL"));
  if (mode != "wal") return absl::InternalError(absl::StrCat("set WAL mode: got ", mode));
  return Exec(db, "PRAGMA synchronous=FULL; PRAGMA trusted_schema=OFF;", "configure");
}

// DataLoss: not a database, or a damaged one.
absl::Status CheckIntegrity(sqlite3* db) {
  ASSIGN_OR_RETURN(const std::string verdict, QueryText(db, "PRAGMA quick_check(1)"));
  if (verdict != "ok") return absl::DataLossError(absl::StrCat("quick_check: ", verdict));
  return absl::OkStatus();
}

absl::Status EnsureSchema(sqlite3* db, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, QueryText(db, "PRAGMA user_version"));
  int version = 0;
  if (!absl::SimpleAtoi(text, &version)) {
    return absl::InternalError(absl::StrCat("read schema version: got ", text));
  }
  if (version > kSchemaVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("open store ", path, ": its schema is version ", version,
                     ", this program knows up to ", kSchemaVersion));
  }
  if (version == kSchemaVersion) return absl::OkStatus();
  return Exec(db, absl::StrCat("BEGIN IMMEDIATE;", kSchema, "COMMIT;").c_str(), "make schema");
}

absl::StatusOr<std::unique_ptr<Store>> OpenDatabase(const std::string& path) {
  RETURN_IF_ERROR(MakePrivateFile(path));
  sqlite3* raw = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &raw,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  Db db(raw);
  if (code != SQLITE_OK) return DbError(db.get(), code, absl::StrCat("open store ", path));
  RETURN_IF_ERROR(Configure(db.get()));
  RETURN_IF_ERROR(CheckIntegrity(db.get()));
  RETURN_IF_ERROR(EnsureSchema(db.get(), path));
  ASSIGN_OR_RETURN(Statements statements, PrepareAll(db.get()));
  return std::make_unique<SqliteStore>(std::move(db), std::move(statements));
}

// The log first: a new database must never meet the old one's.
absl::Status MoveAside(const std::string& path, const std::string& aside) {
  for (const char* suffix : {"-wal", "-shm", ""}) {
    const std::string from = path + suffix, to = aside + suffix;
    if (rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) {
      return os::ErrnoStatus(errno, absl::StrCat("rename ", from, " to ", to));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& path) {
  absl::StatusOr<std::unique_ptr<Store>> store = OpenDatabase(path);
  if (!absl::IsDataLoss(store.status())) return store;
  const std::string aside = absl::StrCat(
      path, ".corrupt-", absl::FormatTime("%Y%m%dT%H%M%E3SZ", absl::Now(), absl::UTCTimeZone()));
  RETURN_IF_ERROR(MoveAside(path, aside));
  LogWarning("store is damaged, a new one begins",
             {{"path", path}, {"kept_as", aside}, {"cause", store.status().message()}});
  return OpenDatabase(path);
}

}  // namespace berth::store
