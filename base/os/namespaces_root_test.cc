#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "base/os/namespaces.h"
#include "base/os/test_dir.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

std::vector<MountEntry> Mounts() {
  absl::StatusOr<std::string> text = ReadFile("/proc/thread-self/mountinfo", 1 << 20);
  EXPECT_TRUE(text.ok()) << text.status();
  absl::StatusOr<std::vector<MountEntry>> mounts = ParseMountInfo(*text);
  EXPECT_TRUE(mounts.ok()) << mounts.status();
  return *mounts;
}

absl::Status Enter(int ns_fd) {
  if (unshare(CLONE_FS) != 0) return ErrnoStatus(errno, "unshare");
  if (setns(ns_fd, 0) != 0) return ErrnoStatus(errno, "setns");
  return absl::OkStatus();
}

class NamespacesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_TRUE(EnsureDir(dir_ / "data", 0700).ok());
    ASSERT_TRUE(EnsureDir(dir_ / "run", 0700).ok());
    absl::StatusOr<UniqueFd> holder = MakeHolderNamespace(dir_ / "data", dir_ / "run");
    ASSERT_TRUE(holder.ok()) << holder.status();
    holder_ = *std::move(holder);
  }

  TestDir dir_;
  UniqueFd holder_;
};

TEST_F(NamespacesTest, TheHolderHasFourPrivateMountsAndAReadOnlyRoot) {
  const absl::Status status = OnPrivateThread([&]() -> absl::Status {
    RETURN_IF_ERROR(Enter(holder_.get()));
    std::vector<std::string> targets;
    for (const MountEntry& mount : Mounts()) {
      targets.push_back(mount.target);
      EXPECT_FALSE(mount.is_shared) << mount.target;
    }
    EXPECT_THAT(targets, UnorderedElementsAre("/", "/proc", "/data", "/run"));
    EXPECT_THAT(*ListDir(AT_FDCWD, "/"), ElementsAre("data", "proc", "root", "run"));
    EXPECT_TRUE(IsErrno(Open("/x", O_CREAT | O_WRONLY, 0600).status(), EROFS));
    return WriteAll(Open("/data/from-holder", O_CREAT | O_WRONLY, 0600)->get(), "x");
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(ReadFile(dir_ / "data/from-holder", 10).ok());
}

TEST_F(NamespacesTest, TheCallersMountTableIsUntouchedByTheHolder) {
  for (const MountEntry& mount : Mounts()) {
    EXPECT_EQ(mount.target.find(dir_.path()), std::string::npos) << mount.target;
  }
}

}  // namespace
}  // namespace berth::os
