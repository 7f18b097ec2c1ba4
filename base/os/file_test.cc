#include "base/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/test_dir.h"

namespace berth::os {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<UniqueFd> fd = Open(dir_.path(), O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(fd.ok());
    fd_ = *std::move(fd);
  }
  void Make(const std::string& name, const std::string& text = "") {
    absl::StatusOr<UniqueFd> fd = OpenAt(fd_.get(), name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_TRUE(fd.ok()) << fd.status();
    ASSERT_TRUE(WriteAll(fd->get(), text).ok());
  }
  bool Has(const std::string& name) {
    struct stat st;
    return fstatat(fd_.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
  }
  mode_t Mode(const std::string& name) {
    struct stat st {};
    EXPECT_EQ(fstatat(fd_.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW), 0) << name;
    return st.st_mode & 07777;
  }
  TestDir dir_;
  UniqueFd fd_;
};

TEST_F(FileTest, OpensAreCloseOnExec) {
  Make("a");
  absl::StatusOr<UniqueFd> plain = OpenAt(fd_.get(), "a", O_RDONLY);
  absl::StatusOr<UniqueFd> rooted = OpenInRoot(fd_.get(), "a", O_RDONLY);
  EXPECT_EQ(fcntl(plain->get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(rooted->get(), F_GETFD), FD_CLOEXEC);
}

TEST_F(FileTest, OpenInRootCannotLeaveIt) {
  Make("passwd", "mine");
  ASSERT_EQ(symlinkat("/passwd", fd_.get(), "absolute"), 0);
  ASSERT_EQ(symlinkat("../../../../passwd", fd_.get(), "climbing"), 0);
  ASSERT_EQ(symlinkat("/proc/self/root/etc", fd_.get(), "magic"), 0);
  for (const char* path : {"absolute", "climbing", "../../passwd", "/passwd"}) {
    absl::StatusOr<UniqueFd> fd = OpenInRoot(fd_.get(), path, O_RDONLY);
    ASSERT_TRUE(fd.ok()) << fd.status();
    EXPECT_EQ(*ReadAll(fd->get(), 100), "mine") << path;
  }
  EXPECT_FALSE(OpenInRoot(fd_.get(), "magic/passwd", O_RDONLY).ok());
}

TEST_F(FileTest, OpenInRootMakesFilesWithTheirMode) {
  const mode_t before = umask(0);
  EXPECT_TRUE(OpenInRoot(fd_.get(), "new", O_WRONLY | O_CREAT, 0640).ok());
  umask(before);
  EXPECT_EQ(Mode("new"), 0640u);
}

TEST_F(FileTest, ReadsAreBounded) {
  Make("ten", "0123456789");
  EXPECT_EQ(*ReadFile(dir_ / "ten", 10), "0123456789");
  const absl::Status status = ReadFile(dir_ / "ten", 9).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ten"));
  EXPECT_TRUE(IsErrno(ReadFile(dir_ / "absent", 9).status(), ENOENT));
}

TEST_F(FileTest, KernelFilesAreNeverMade) {
  EXPECT_TRUE(IsErrno(WriteKernelFile(fd_.get(), "absent", "1"), ENOENT));
  const absl::Status status = WriteKernelFile(AT_FDCWD, "/proc/self/oom_score_adj", "9999\n");
  EXPECT_TRUE(IsErrno(status, EINVAL)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"9999\" to /proc/self/oom_score_adj"));
}

TEST_F(FileTest, AnAtomicWriteReplacesTheFileAndLeavesNoOther) {
  Make("f", "old");
  for (Durability durability : {Durability::kProcessCrash, Durability::kPowerLoss}) {
    ASSERT_TRUE(WriteFileAtomic(fd_.get(), "f", "new", 0600, durability).ok());
  }
  EXPECT_EQ(*ReadFile(dir_ / "f", 10), "new");
  EXPECT_EQ(Mode("f"), 0600u);
  EXPECT_THAT(*ListDir(AT_FDCWD, dir_.path()), ElementsAre("f"));
}

TEST_F(FileTest, AFailedAtomicWriteLeavesTheOldFileAndNoOther) {
  ASSERT_TRUE(EnsureDir(dir_ / "f", 0700).ok());  // rename(2) refuses to replace a directory
  EXPECT_FALSE(WriteFileAtomic(fd_.get(), "f", "x", 0600, Durability::kProcessCrash).ok());
  EXPECT_THAT(*ListDir(AT_FDCWD, dir_.path()), ElementsAre("f"));
  EXPECT_FALSE(WriteFileAtomic(fd_.get(), "a/b", "x", 0600, Durability::kProcessCrash).ok());
}

TEST_F(FileTest, EnsureDirSetsTheModeAndRefusesLinksAndFiles) {
  ASSERT_TRUE(EnsureDir(dir_ / "d", 0700).ok());
  ASSERT_TRUE(EnsureDir(dir_ / "d", 0755).ok());
  EXPECT_EQ(Mode("d"), 0755u);
  ASSERT_EQ(symlinkat("d", fd_.get(), "link"), 0);
  Make("file");
  EXPECT_FALSE(EnsureDir(dir_ / "link", 0700).ok());
  EXPECT_FALSE(EnsureDir(dir_ / "file", 0700).ok());
  EXPECT_EQ(Mode("d"), 0755u);
}

TEST_F(FileTest, MakeDirsMakesOnlyWhatIsMissingWithExactlyItsMode) {
  ASSERT_TRUE(EnsureDir(dir_ / "a", 0700).ok());
  const mode_t before = umask(077);
  EXPECT_TRUE(MakeDirs(dir_ / "a/b//c/", 0755).ok());
  umask(before);
  EXPECT_EQ(Mode("a"), 0700u);
  EXPECT_EQ(Mode("a/b"), 0755u);
  EXPECT_EQ(Mode("a/b/c"), 0755u);
  EXPECT_TRUE(MakeDirs(dir_ / "a/b/c", 0700).ok());
  Make("file");
  EXPECT_FALSE(MakeDirs(dir_ / "file", 0755).ok());
  EXPECT_FALSE(MakeDirs(dir_ / "file/x", 0755).ok());
  EXPECT_FALSE(MakeDirs("", 0755).ok());
}

TEST_F(FileTest, ListsAreSortedAndWithoutDots) {
  Make("b");
  Make(".hidden");
  ASSERT_TRUE(EnsureDir(dir_ / "a", 0700).ok());
  ASSERT_EQ(symlinkat("a", fd_.get(), "z"), 0);
  EXPECT_THAT(*ListDir(AT_FDCWD, dir_.path()), ElementsAre(".hidden", "a", "b", "z"));
  EXPECT_THAT(*ListSubdirectories(fd_.get()), ElementsAre("a"));
  EXPECT_THAT(*ListSubdirectories(fd_.get()), ElementsAre("a")) << "from the start each time";
}

TEST_F(FileTest, AMemFdHasItsDataFromTheStart) {
  absl::StatusOr<UniqueFd> fd = MemFdWith("x", "data");
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(*ReadAll(fd->get(), 10), "data");
}

TEST_F(FileTest, TheBootIdIsAUuid) { EXPECT_EQ(BootId()->size(), 36u); }

TEST_F(FileTest, RemoveTreeTakesFilesLinksAndFifosAndFollowsNoLink) {
  Make("kept", "k");
  ASSERT_TRUE(MakeDirs(dir_ / "tree/a/b", 0700).ok());
  Make("tree/file");
  Make("tree/a/b/file");
  ASSERT_EQ(symlinkat("../kept", fd_.get(), "tree/link"), 0);
  ASSERT_EQ(symlinkat("..", fd_.get(), "tree/a/up"), 0);
  ASSERT_EQ(mkfifoat(fd_.get(), "tree/fifo", 0600), 0);
  ASSERT_TRUE(RemoveTree(fd_.get(), "tree").ok());
  EXPECT_FALSE(Has("tree"));
  EXPECT_TRUE(Has("kept"));
  EXPECT_TRUE(RemoveTree(fd_.get(), "tree").ok()) << "absent is success";
  EXPECT_TRUE(RemoveTree(fd_.get(), "kept").ok());
  EXPECT_FALSE(Has("kept"));
  ASSERT_EQ(symlinkat("/tmp", fd_.get(), "link"), 0);
  EXPECT_TRUE(RemoveTree(fd_.get(), "link").ok());
  EXPECT_FALSE(Has("link"));
}

TEST_F(FileTest, RemoveTreeTakesWideDirectories) {
  ASSERT_TRUE(EnsureDir(dir_ / "wide", 0700).ok());
  for (int i = 0; i < 1500; ++i) {
    const std::string name = absl::StrCat("wide/", std::string(40, 'n'), i);
    ASSERT_EQ(i % 10 == 0 ? mkdirat(fd_.get(), name.c_str(), 0700)
                          : symlinkat("x", fd_.get(), name.c_str()),
              0);
  }
  absl::StatusOr<TreeUsage> usage = MeasureTree(fd_.get(), "wide");
  ASSERT_TRUE(usage.ok()) << usage.status();
  EXPECT_EQ(usage->inodes, 1501u);
  EXPECT_TRUE(RemoveTree(fd_.get(), "wide").ok());
  EXPECT_FALSE(Has("wide"));
}

// Deeper than PATH_MAX, than the fds there are, and than a small stack would take.
TEST_F(FileTest, TreesOfAnyDepthAreMeasuredAndRemovedWithFewFdsAndLittleStack) {
  constexpr int kDepth = 3000;
  TestDir dir("/dev/shm");  // ext4 takes seconds to make that many directories
  const absl::StatusOr<UniqueFd> top = Open(dir.path(), O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(top.ok()) << top.status();
  absl::StatusOr<UniqueFd> at = OpenAt(top->get(), ".", O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(mkdirat(at->get(), "deep", 0700), 0);
    ASSERT_EQ(symlinkat("x", at->get(), "beside"), 0);
    at = OpenAt(at->get(), "deep", O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(at.ok()) << at.status();
  }
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 200;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  absl::StatusOr<TreeUsage> usage = MeasureTree(top->get(), "deep");
  const absl::Status removed = RemoveTree(top->get(), "deep");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(usage.ok()) << usage.status();
  EXPECT_EQ(usage->inodes, 2u * kDepth - 1);
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_THAT(*ListDir(AT_FDCWD, dir.path()), ElementsAre("beside"));
}

TEST_F(FileTest, AMeasureCountsAHardLinkOnceAndAnAbsentTreeAsNothing) {
  ASSERT_TRUE(EnsureDir(dir_ / "t", 0700).ok());
  Make("t/a", std::string(100000, 'x'));
  ASSERT_EQ(linkat(fd_.get(), "t/a", fd_.get(), "t/b", 0), 0);
  absl::StatusOr<TreeUsage> usage = MeasureTree(fd_.get(), "t");
  ASSERT_TRUE(usage.ok());
  EXPECT_EQ(usage->inodes, 2u);
  EXPECT_GE(usage->bytes, 100000u);
  EXPECT_LT(usage->bytes, 150000u);
  EXPECT_EQ(MeasureTree(fd_.get(), "absent")->inodes, 0u);
}

TEST_F(FileTest, AMeasureWhileOthersDeleteDoesNotFail) {
  ASSERT_TRUE(EnsureDir(dir_ / "t", 0700).ok());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(MakeDirs(dir_ / absl::StrCat("t/", i, "/x"), 0700).ok());
  }
  std::thread remover([&] { EXPECT_TRUE(RemoveTree(fd_.get(), "t").ok()); });
  for (int i = 0; i < 20; ++i) {
    absl::StatusOr<TreeUsage> usage = MeasureTree(fd_.get(), "t");
    EXPECT_TRUE(usage.ok()) << usage.status();
  }
  remover.join();
}

TEST_F(FileTest, TwoRemoversOfOneTreeBothSucceed) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(MakeDirs(dir_ / absl::StrCat("t/", i, "/x"), 0700).ok());
  }
  std::thread other([&] { EXPECT_TRUE(RemoveTree(fd_.get(), "t").ok()); });
  const absl::Status status = RemoveTree(fd_.get(), "t");
  EXPECT_TRUE(status.ok()) << status;
  other.join();
  EXPECT_FALSE(Has("t"));
}

TEST(ErrnoStatusTest, ErrnoStaysInsideAndTheCodeIsNeverNotFound) {
  const absl::Status status = ErrnoStatus(ENOENT, "open /x");
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(status.message(), "open /x: No such file or directory");
  EXPECT_TRUE(IsErrno(status, ENOENT));
  EXPECT_EQ(ErrnoStatus(ENOSPC, "write").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoOf(absl::InternalError("x")), 0);
  EXPECT_STREQ(ErrnoText(99999), "unknown error");
}

}  // namespace
}  // namespace berth::os
