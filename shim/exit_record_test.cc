#include "shim/exit_record.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "base/os/file.h"
#include "shim/monitor/exit_file.h"

namespace berth::shim {
namespace {

using monitor::OomLevel;

constexpr char kBootId[] = "01234567-89ab-cdef-0123-456789abcdef";

std::string Format(const monitor::ExitFacts& facts) {
  char out[monitor::kExitRecordLimit];
  return std::string(out, monitor::FormatExitRecord(facts, kBootId, out));
}

TEST(ExitRecordTest, WhatTheMonitorWritesIsReadBack) {
  const std::vector<monitor::ExitFacts> all = {{0, 0, 0, OomLevel::kNone},
                                               {37, 0, 1795473252123456789, OomLevel::kPod},
                                               {137, 9, 5, OomLevel::kContainer},
                                               {255, 0, 1, OomLevel::kNode}};
  for (const monitor::ExitFacts& facts : all) {
    const absl::StatusOr<StoredExit> stored = ParseExitRecord(Format(facts));
    ASSERT_TRUE(stored.ok()) << stored.status();
    EXPECT_EQ(stored->boot_id, kBootId);
    EXPECT_EQ(stored->exit.exit_code, facts.exit_code);
    EXPECT_EQ(stored->exit.signal, facts.signal);
    EXPECT_EQ(stored->exit.finished_at, facts.finished_at);
    EXPECT_EQ(static_cast<int>(stored->exit.oom), static_cast<int>(facts.oom));
  }
}

TEST(ExitRecordTest, LongestRecordFitsIntoItsLimit) {
  EXPECT_LT(Format({255, 64, INT64_MAX, OomLevel::kNode}).size(), monitor::kExitRecordLimit);
}

TEST(ExitRecordTest, EveryCutAndEveryChangeIsDataLoss) {
  const std::string good = Format({137, 9, 1795473252123456789, OomLevel::kContainer});
  for (size_t i = 0; i < good.size(); ++i) {
    const absl::StatusOr<StoredExit> cut = ParseExitRecord(good.substr(0, i));
    EXPECT_EQ(cut.status().code(), absl::StatusCode::kDataLoss) << i;
    std::string bad = good;
    bad[i] = '\x01';
    EXPECT_EQ(ParseExitRecord(bad).status().code(), absl::StatusCode::kDataLoss) << i;
  }
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"berth-exit 2", "berth-exit 3"},
                                                        {"exit_code 137", "exit_code 256"},
                                                        {"exit_code 137", "exit_code 0137"},
                                                        {"exit_code 137", "exit_code +137"},
                                                        {"exit_code 137", "exit_code 138"},
                                                        {"signal 9", "signal 65"},
                                                        {"oom_killed 1", "oom_killed 4"},
                                                        {"finished_at 1", "finished_at -1"},
                                                        {"end\n", "end\n\n"},
                                                        {"01234567-", "0123456g-"}}) {
    const std::string bad = absl::StrReplaceAll(good, {{from, to}});
    ASSERT_NE(bad, good);
    EXPECT_EQ(ParseExitRecord(bad).status().code(), absl::StatusCode::kDataLoss) << to;
  }
}

TEST(ExitRecordTest, TheFirstVersionDoesNotNameTheLevel) {
  const std::string second = Format({137, 9, 5, OomLevel::kContainer});
  const auto stored =
      ParseExitRecord(absl::StrReplaceAll(second, {{"berth-exit 2", "berth-exit 1"}}));
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(stored->exit.oom, shim::OomLevel::kUnknown);
  EXPECT_FALSE(ParseExitRecord(absl::StrReplaceAll(second, {{"berth-exit 2", "berth-exit 1"},
                                                            {"killed 1", "killed 2"}}))
                   .ok());
}

class ExitFileTest : public ::testing::Test {
 protected:
  ExitFileTest() {
    EXPECT_NE(mkdtemp(dir_), nullptr);
    dir_fd_ = open(dir_, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  ~ExitFileTest() override {
    close(dir_fd_);
    EXPECT_TRUE(os::RemoveTree(AT_FDCWD, dir_).ok());
  }
  char dir_[32] = "/tmp/berth-exit-XXXXXX";
  int dir_fd_;
};

TEST_F(ExitFileTest, RecordAppearsWholeUnderItsNameOnly) {
  const int reserved = monitor::ReserveExitFile(dir_fd_);
  ASSERT_GE(reserved, 0);
  ASSERT_EQ(monitor::WriteExitFile(dir_fd_, reserved, {3, 0, 7, OomLevel::kNone}, kBootId), 0);
  close(reserved);
  const absl::StatusOr<std::string> text = os::ReadFileAt(dir_fd_, "exit", 4096);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, Format({3, 0, 7, OomLevel::kNone}));
  EXPECT_EQ(os::ListDir(dir_fd_, ".").value(), std::vector<std::string>{"exit"});
}

TEST_F(ExitFileTest, RecordIsWrittenWithoutAReservationToo) {
  ASSERT_EQ(monitor::WriteExitFile(dir_fd_, -1, {3, 0, 7, OomLevel::kNone}, kBootId), 0);
  EXPECT_TRUE(ParseExitRecord(os::ReadFileAt(dir_fd_, "exit", 4096).value()).ok());
}

}  // namespace
}  // namespace berth::shim
