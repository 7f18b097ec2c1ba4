#include "base/os/file_lock.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/spawn.h"
#include "base/os/test_dir.h"

namespace berth::os {
namespace {

TEST(FileLockTest, ASecondHolderIsRefusedWithPathAndPid) {
  TestDir dir;
  absl::StatusOr<FileLock> first = FileLock::Acquire(dir / "lock");
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status second = FileLock::Acquire(dir / "lock").status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(second.message(), absl::StrCat("lock ", dir / "lock", ": held by process ", getpid()));
}

TEST(FileLockTest, DestructionReleasesIt) {
  TestDir dir;
  { ASSERT_TRUE(FileLock::Acquire(dir / "lock").ok()); }
  EXPECT_TRUE(FileLock::Acquire(dir / "lock").ok());
}

TEST(FileLockTest, AStartedProgramDoesNotKeepIt) {
  TestDir dir;
  absl::StatusOr<FileLock> lock = FileLock::Acquire(dir / "lock");
  ASSERT_TRUE(lock.ok());
  SpawnOptions options;
  options.path = "/bin/sleep";
  options.argv = {"sleep", "1000"};
  absl::StatusOr<Child> child = Spawn(options);
  ASSERT_TRUE(child.ok()) << child.status();
  { FileLock dropped = *std::move(lock); }
  // The kernel lets the parent of a vfork go on a moment before it closes the child's fds.
  const Deadline deadline = Deadline::After(absl::Seconds(30));
  bool free = false;
  while (!free && !deadline.Expired()) free = FileLock::Acquire(dir / "lock").ok();
  EXPECT_TRUE(free);
  kill(child->pid, SIGKILL);
  EXPECT_TRUE(WaitChild(*child, Deadline::After(absl::Seconds(30))).ok());
}

TEST(FileLockTest, ALinkInItsPlaceIsRefused) {
  TestDir dir;
  ASSERT_EQ(symlink("/etc/passwd", (dir / "lock").c_str()), 0);
  EXPECT_FALSE(FileLock::Acquire(dir / "lock").ok());
}

}  // namespace
}  // namespace berth::os
