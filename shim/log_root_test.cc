// What a container's log may take, and what happens when there is no room for it: a whole shim on
// file systems of the test's own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using testing::Eventually;
using Lines = std::vector<std::string>;

absl::StatusOr<os::UniqueFd> NewLog(const std::string& path) {
  return os::Open(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL, 0640);
}

// Lines that a record "[berth: 12 lines, ...]" says were dropped; 0: it is another record.
uint64_t DroppedIn(const std::string& record) {
  const Lines words = absl::StrSplit(record, ' ');
  uint64_t lines = 0;
  if (words.size() > 3 && words[2] == "[berth:") (void)absl::SimpleAtoi(words[3], &lines);
  return lines;
}

// "seq 1 count" through a log that lost some of it: each line is whole, they rise, and with what
// was reported as lost they are all there.
void ExpectSequenceWithReportedGaps(const Lines& log, uint64_t count) {
  uint64_t seen = 0;
  uint64_t dropped = 0;
  uint64_t last = 0;
  for (const std::string& record : log) {
    if (absl::StrContains(record, "[berth: ")) {
      dropped += DroppedIn(record);
      continue;
    }
    uint64_t number = 0;
    ASSERT_TRUE(absl::SimpleAtoi(record.substr(9), &number)) << record;
    ASSERT_GT(number, last) << record;
    last = number;
    ++seen;
  }
  EXPECT_GT(dropped, 0U);
  EXPECT_EQ(seen + dropped, count);
}

// A small file system for the log, and a directory that the container waits in for a word.
class FullDiskTest : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    for (const std::string& dir : {disk_, words_}) ASSERT_EQ(mkdir(dir.c_str(), 0755), 0);
    ASSERT_EQ(mount("log", disk_.c_str(), "tmpfs", 0, "size=256k"), 0);
  }
  void TearDown() override {
    EXPECT_EQ(umount2(disk_.c_str(), 0), 0);
    EXPECT_EQ(rmdir(disk_.c_str()), 0);
    EXPECT_TRUE(os::RemoveTree(AT_FDCWD, words_).ok());
    ShimTest::TearDown();
  }
  void Prepare(TestContainer* c) {
    absl::StatusOr<os::UniqueFd> log = NewLog(disk_ + "/log");
    ASSERT_TRUE(log.ok()) << log.status();
    c->launch().log = *std::move(log);
    c->spec().mounts.push_back({"/vol", "bind", words_, {"rbind"}});
    absl::StatusOr<os::UniqueFd> tree = os::CloneTree(AT_FDCWD, words_, /*recursive=*/false);
    ASSERT_TRUE(tree.ok()) << tree.status();
    c->launch().mount_trees.emplace_back(2, *std::move(tree));
  }
  void AwaitWord(const std::string& name) {
    const std::string path = words_ + "/" + name;
    EXPECT_TRUE(Eventually([&] { return access(path.c_str(), F_OK) == 0; }, absl::Seconds(20)));
  }
  void Tell(const std::string& name) {
    EXPECT_TRUE(os::Open(words_ + "/" + name, O_WRONLY | O_CREAT, 0644).ok());
  }

  const std::string disk_ = host_->dir() + "/disk";
  const std::string words_ = host_->dir() + "/words";
};

TEST_F(FullDiskTest, TheContainerGoesOnAndWithSpaceAgainSoDoesTheLogInWholeLines) {
  const std::string filler = disk_ + "/filler";
  absl::StatusOr<os::UniqueFd> file = os::Open(filler, O_WRONLY | O_CREAT, 0600);
  ASSERT_TRUE(file.ok() && os::WriteAll(file->get(), std::string(128 << 10, 'f')).ok());
  file->reset();
  TestContainer c(host_, Shell("seq 1 20000; echo >/vol/flooded; while ! [ -e /vol/go ]; do sleep "
                               "0.02; done; echo 20001; exit 7"));
  Prepare(&c);
  c.Run();
  AwaitWord("flooded");
  ASSERT_TRUE(Eventually(
      [&] {
        const absl::StatusOr<ShimState> state = c.client().State(Soon());
        return state.ok() && state->log_lines_dropped > 0 && state->log_bytes_dropped > 0;
      },
      absl::Seconds(20)));
  EXPECT_EQ(unlink(filler.c_str()), 0);
  Tell("go");
  EXPECT_EQ(c.AwaitExit().exit_code, 7);
  const Lines log = TestContainer::ReadLog(disk_ + "/log");
  ExpectSequenceWithReportedGaps(log, 20001);
  EXPECT_EQ(log.back(), "stdout F 20001");
}

TEST_F(FullDiskTest, ALogThatWasDeletedGoesOnInTheNextFile) {
  TestContainer c(host_, Shell("echo 1; echo >/vol/said; while ! [ -e /vol/go ]; do sleep 0.02; "
                               "done; echo 2; echo >/vol/more; while ! [ -e /vol/end ]; do sleep "
                               "0.02; done; echo 3"));
  Prepare(&c);
  c.Run();
  AwaitWord("said");
  EXPECT_EQ(unlink((disk_ + "/log").c_str()), 0);
  Tell("go");
  AwaitWord("more");
  absl::StatusOr<os::UniqueFd> next = NewLog(disk_ + "/next");
  ASSERT_TRUE(next.ok());
  const absl::Status reopened = c.client().ReopenLog(*std::move(next), Soon());
  EXPECT_TRUE(reopened.ok()) << reopened;
  Tell("end");
  EXPECT_EQ(c.AwaitExit().exit_code, 0);
  EXPECT_THAT(TestContainer::ReadLog(disk_ + "/next"), ::testing::Contains("stdout F 3"));
}

TEST_F(ShimTest, ALogAtItsLimitTakesNoMoreAndTheContainerDoesNotWait) {
  TestContainer c(host_, Shell("seq 1 100000; exit 3"));
  c.launch().log_limits.file_bytes = 64 << 10;
  c.Run();
  EXPECT_EQ(c.AwaitExit().exit_code, 3);
  const Lines log = c.Log();
  ExpectSequenceWithReportedGaps(log, 100000);
  struct stat st;
  ASSERT_EQ(stat(c.log_path().c_str(), &st), 0);
  EXPECT_LT(st.st_size, (64 << 10) + 512);
}

TEST_F(ShimTest, OutputBeyondTheRateIsDroppedAndReported) {
  TestContainer c(host_, Shell("seq 1 100000; exit 3"));
  c.launch().log_limits = {0, 16 << 10, 64 << 10};
  c.Run();
  EXPECT_EQ(c.AwaitExit().exit_code, 3);
  ExpectSequenceWithReportedGaps(c.Log(), 100000);
}

// critest's containers have none. The shim's plan for execs once took the log's number, and the
// output with it.
TEST_F(ShimTest, WithoutALogOutputGoesNowhereAndExecsWork) {
  TestContainer c(host_, Shell("seq 1 100000; exec sleep 1000"));
  c.launch().log = os::UniqueFd();
  c.Run();
  const std::string plan = host_->launcher().RunDir(c.id()) + "/process.plan";
  const std::string before = os::ReadFile(plan, 1 << 20).value();
  // More than a pipe holds: it has been read when the script is through.
  EXPECT_TRUE(testing::Eventually([&] { return c.Exec("cat /proc/1/comm") == "sleep\n"; },
                                  absl::Seconds(20)));
  EXPECT_EQ(c.Exec("echo still"), "still\n");
  EXPECT_EQ(os::ReadFile(plan, 1 << 20).value().size(), before.size());
}

}  // namespace
}  // namespace berth::shim
