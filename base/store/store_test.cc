#include "base/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/os/file.h"
#include "base/os/test_dir.h"

namespace berth::store {

// For gmock, beside the type.
bool operator==(const Record& a, const Record& b) {
  return a.kind == b.kind && a.id == b.id && a.version == b.version && a.body == b.body;
}
void PrintTo(const Record& r, std::ostream* out) {
  *out << r.kind << "/" << r.id << " v" << r.version << " (" << r.body.size() << " bytes)";
}

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

void WriteWhole(const std::string& path, absl::string_view data) {
  absl::StatusOr<os::UniqueFd> fd = os::Open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ASSERT_TRUE(fd.ok()) << fd.status();
  ASSERT_TRUE(os::WriteAll(fd->get(), data).ok());
}

std::unique_ptr<Store> MustOpen(const std::string& path) {
  absl::StatusOr<std::unique_ptr<Store>> store = Store::Open(path);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

// Both kinds of store promise the same.
class StoreContractTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override { store_ = GetParam() ? MakeMemoryStore() : MustOpen(dir_ / "db"); }
  os::TestDir dir_;
  std::unique_ptr<Store> store_;
};
INSTANTIATE_TEST_SUITE_P(Stores, StoreContractTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Memory" : "Sqlite"; });

TEST_P(StoreContractTest, LoadReturnsTheRecordsOfOneKindById) {
  Batch batch;
  batch.Put({"pod", "b", 2, "two"}).Put({"pod", "a", 1, "one"}).Put({"image", "a", 1, "x"});
  ASSERT_TRUE(store_->Commit(batch, Sync::kNormal).ok());
  EXPECT_THAT(*store_->Load("pod"),
              ElementsAre(Record{"pod", "a", 1, "one"}, Record{"pod", "b", 2, "two"}));
  EXPECT_THAT(*store_->Load("none"), IsEmpty());
}

TEST_P(StoreContractTest, ChangesApplyInOrderAndDeletingTheAbsentSucceeds) {
  Batch batch;
  batch.Put({"pod", "a", 1, "old"}).Delete("pod", "a").Put({"pod", "a", 3, "new"});
  batch.Delete("pod", "never");
  ASSERT_TRUE(store_->Commit(batch, Sync::kFull).ok());
  EXPECT_THAT(*store_->Load("pod"), ElementsAre(Record{"pod", "a", 3, "new"}));
}

TEST_P(StoreContractTest, BodiesAreBytesAndMayBeEmpty) {
  const std::string bytes("\0\xff\x01 '\"", 6);
  ASSERT_TRUE(
      store_->Commit(Batch().Put({"k", "a", 1, bytes}).Put({"k", "b", 1, ""}), Sync::kNormal).ok());
  EXPECT_THAT(*store_->Load("k"), ElementsAre(Record{"k", "a", 1, bytes}, Record{"k", "b", 1, ""}));
}

TEST_P(StoreContractTest, AQuarantinedRecordIsNoLongerLoadedButCounted) {
  ASSERT_TRUE(
      store_->Commit(Batch().Put({"k", "a", 9, "?"}).Put({"k", "b", 1, "ok"}), Sync::kNormal).ok());
  EXPECT_EQ(*store_->CountQuarantined(), 0u);
  EXPECT_TRUE(store_->Quarantine("k", "a", "version 9").ok());
  EXPECT_EQ(*store_->CountQuarantined(), 1u);
  EXPECT_THAT(*store_->Load("k"), ElementsAre(Record{"k", "b", 1, "ok"}));
  EXPECT_TRUE(absl::IsNotFound(store_->Quarantine("k", "a", "again")));
}

TEST_P(StoreContractTest, ThreadsMayCommitAtTheSameTime) {
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 25; ++i) {
        Batch batch;
        batch.Put({"k", absl::StrCat(t, "-", i), 1, "x"});
        EXPECT_TRUE(store_->Commit(batch, Sync::kNormal).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store_->Load("k")->size(), 100u);
}

class SqliteStoreTest : public ::testing::Test {
 protected:
  void TearDown() override { EXPECT_TRUE(failpoint::Configure("").ok()); }

  // Runs SQL on the file from outside.
  void Sql(const char* sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, &error), SQLITE_OK) << error;
    sqlite3_free(error);
    sqlite3_close(db);
  }
  std::vector<std::string> Names() {
    absl::StatusOr<std::vector<std::string>> names = os::ListDir(AT_FDCWD, dir_.path());
    EXPECT_TRUE(names.ok()) << names.status();
    return *std::move(names);
  }
  std::vector<std::string> CorruptFiles() {
    std::vector<std::string> found;
    for (const std::string& name : Names()) {
      if (absl::StartsWith(name, "db.corrupt-") && !absl::EndsWith(name, "-wal") &&
          !absl::EndsWith(name, "-shm")) {
        found.push_back(name);
      }
    }
    return found;
  }

  os::TestDir dir_;
  const std::string path_ = dir_ / "db";
};

TEST_F(SqliteStoreTest, RecordsSurviveReopening) {
  ASSERT_TRUE(MustOpen(path_)->Commit(Batch().Put({"k", "a", 7, "kept"}), Sync::kFull).ok());
  EXPECT_THAT(*MustOpen(path_)->Load("k"), ElementsAre(Record{"k", "a", 7, "kept"}));
}

TEST_F(SqliteStoreTest, ItsFilesAreForTheOwnerOnlyWhateverTheUmask) {
  const mode_t before = umask(0);
  auto store = MustOpen(path_);
  ASSERT_TRUE(store->Commit(Batch().Put({"k", "a", 1, ""}), Sync::kNormal).ok());
  umask(before);
  for (const std::string& name : Names()) {
    struct stat st {};
    ASSERT_EQ(stat((dir_ / name).c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0600u) << name;
  }
}

TEST_F(SqliteStoreTest, ACommitSurvivesKillDashNine) {
  const pid_t child = fork();
  if (child == 0) {
    auto store = MustOpen(path_);
    if (!store->Commit(Batch().Put({"k", "a", 1, "committed"}), Sync::kNormal).ok()) _exit(1);
    // Dies inside the next one, before it is committed.
    if (!failpoint::Configure("store_before_commit=kill").ok()) _exit(2);
    (void)store->Commit(Batch().Put({"k", "b", 1, "never"}), Sync::kNormal);
    _exit(3);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_THAT(*MustOpen(path_)->Load("k"), ElementsAre(Record{"k", "a", 1, "committed"}));
}

TEST_F(SqliteStoreTest, AFailedCommitLeavesTheRecordsAsBeforeAndTheStoreUsable) {
  auto store = MustOpen(path_);
  ASSERT_TRUE(store->Commit(Batch().Put({"k", "a", 1, "x"}), Sync::kNormal).ok());
  Sql("CREATE TRIGGER no BEFORE INSERT ON records WHEN NEW.id = 'bad' "
      "BEGIN SELECT RAISE(ABORT, 'refused'); END");
  const absl::Status failed =
      store->Commit(Batch().Delete("k", "a").Put({"k", "bad", 1, ""}), Sync::kNormal);
  EXPECT_EQ(failed.code(), absl::StatusCode::kInternal) << failed;
  EXPECT_THAT(*store->Load("k"), ElementsAre(Record{"k", "a", 1, "x"}));
  EXPECT_TRUE(store->Commit(Batch().Delete("k", "a"), Sync::kFull).ok());
}

TEST_F(SqliteStoreTest, AFileThatIsNoDatabaseIsMovedAsideAndANewOneBegun) {
  WriteWhole(path_, std::string(9000, 'x'));
  auto store = MustOpen(path_);
  ASSERT_NE(store, nullptr);
  EXPECT_TRUE(store->Commit(Batch().Put({"k", "a", 1, ""}), Sync::kNormal).ok());
  ASSERT_EQ(CorruptFiles().size(), 1u);
  EXPECT_EQ(os::ReadFile(dir_ / CorruptFiles()[0], 10000)->size(), 9000u);
}

TEST_F(SqliteStoreTest, ADamagedDatabaseIsMovedAsideWithItsLog) {
  {
    auto store = MustOpen(path_);
    Batch batch;
    for (int i = 0; i < 500; ++i) batch.Put({"k", absl::StrCat(i), 1, std::string(200, 'b')});
    ASSERT_TRUE(store->Commit(batch, Sync::kFull).ok());
  }
  // Every page but the first is overwritten.
  absl::StatusOr<os::UniqueFd> fd = os::Open(path_, O_WRONLY);
  ASSERT_TRUE(fd.ok());
  const std::string junk(size_t{20} * 4096, 'J');
  ASSERT_EQ(pwrite(fd->get(), junk.data(), junk.size(), 4096), ssize_t(junk.size()));
  WriteWhole(path_ + "-wal", "old log");
  auto store = MustOpen(path_);
  ASSERT_NE(store, nullptr);
  EXPECT_THAT(*store->Load("k"), IsEmpty());
  ASSERT_EQ(CorruptFiles().size(), 1u);
}

TEST_F(SqliteStoreTest, ASchemaNewerThanThisProgramIsRefusedAndLeftAlone) {
  MustOpen(path_).reset();
  Sql("PRAGMA user_version = 99");
  const absl::Status status = Store::Open(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(CorruptFiles(), IsEmpty());
}

TEST_F(SqliteStoreTest, AnUnwritableDirectoryIsAnErrorNotACorruptStore) {
  EXPECT_FALSE(Store::Open(dir_ / "absent/db").ok());
}

}  // namespace
}  // namespace berth::store
