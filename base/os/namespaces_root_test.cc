#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
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
    pin_ = dir_ / "run/ns";
  }
  void TearDown() override {
    if (!pin_.empty()) EXPECT_TRUE(UnpinPodNamespaces(pin_).ok());
    EXPECT_TRUE(failpoint::Configure("").ok());
  }

  TestDir dir_;
  UniqueFd holder_;
  std::string pin_;
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

TEST_F(NamespacesTest, APinAddsExactlyOneEntryToTheHostsTableAndUnpinTakesItAway) {
  const size_t before = Mounts().size();
  PodNamespaceOptions options;
  options.hostname = "pod-one";
  const absl::Status status = PinPodNamespaces(holder_.get(), pin_, options);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Mounts().size(), before + 1);
  EXPECT_TRUE(UnpinPodNamespaces(pin_).ok());
  EXPECT_EQ(Mounts().size(), before);
  EXPECT_EQ(access(pin_.c_str(), F_OK), -1);
  EXPECT_TRUE(UnpinPodNamespaces(pin_).ok());
}

TEST_F(NamespacesTest, ThePinNamespaceHoldsItsFourMountsAndNothingOfTheHost) {
  ASSERT_TRUE(PinPodNamespaces(holder_.get(), pin_, {}).ok());
  const absl::Status status = OnPrivateThread([&]() -> absl::Status {
    ASSIGN_OR_RETURN(UniqueFd pin, Open(pin_, O_RDONLY));
    // No /proc there: the table is read through one opened before.
    ASSIGN_OR_RETURN(UniqueFd self, Open("/proc/thread-self/", O_RDONLY | O_DIRECTORY));
    RETURN_IF_ERROR(Enter(pin.get()));
    EXPECT_THAT(*ListDir(AT_FDCWD, "/"), ElementsAre("ipc", "shm", "uts"));
    ASSIGN_OR_RETURN(std::string text, ReadFileAt(self.get(), "mountinfo", 1 << 20));
    EXPECT_EQ(ParseMountInfo(text)->size(), 4u);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(NamespacesTest, HostnameShmAndSysvSegmentsOutliveEveryProcess) {
  PodNamespaceOptions options;
  options.hostname = "pod-two";
  options.shm_bytes = 1 << 20;
  ASSERT_TRUE(PinPodNamespaces(holder_.get(), pin_, options).ok());
  const auto in_pod = [&](bool first) -> absl::Status {
    ASSIGN_OR_RETURN(PodNamespaces pod, OpenPodNamespaces(pin_));
    return OnPrivateThread([&]() -> absl::Status {
      RETURN_IF_ERROR(Enter(pod.uts.get()));
      RETURN_IF_ERROR(Enter(pod.ipc.get()));
      utsname name{};
      EXPECT_EQ(uname(&name), 0);
      EXPECT_STREQ(name.nodename, "pod-two");
      const int id = shmget(4711, 4096, 0600 | (first ? IPC_CREAT | IPC_EXCL : 0));
      EXPECT_GE(id, 0) << ErrnoText(errno);
      if (!first) {
        EXPECT_EQ(*ReadFileAt(pod.shm.get(), "kept", 10), "yes");
        return absl::OkStatus();
      }
      ASSIGN_OR_RETURN(UniqueFd file, OpenAt(pod.shm.get(), "kept", O_CREAT | O_WRONLY, 0600));
      return WriteAll(file.get(), "yes");
    });
  };
  EXPECT_TRUE(in_pod(true).ok());
  EXPECT_TRUE(in_pod(false).ok());
  EXPECT_EQ(shmget(4711, 4096, 0600), -1) << "the segment is the pod's, not the host's";
}

TEST_F(NamespacesTest, ShmHasItsSizeAndCannotCarryPrograms) {
  PodNamespaceOptions options;
  options.shm_bytes = 64 << 10;
  ASSERT_TRUE(PinPodNamespaces(holder_.get(), pin_, options).ok());
  absl::StatusOr<PodNamespaces> pod = OpenPodNamespaces(pin_);
  ASSERT_TRUE(pod.ok()) << pod.status();
  absl::StatusOr<UniqueFd> file = OpenAt(pod->shm.get(), "big", O_CREAT | O_WRONLY, 0600);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(IsErrno(WriteAll(file->get(), std::string(65 << 10, 'x')), ENOSPC));
}

TEST_F(NamespacesTest, HostIpcMeansNoIpcFileAndNoShm) {
  PodNamespaceOptions options;
  options.private_ipc = false;
  ASSERT_TRUE(PinPodNamespaces(holder_.get(), pin_, options).ok());
  absl::StatusOr<PodNamespaces> pod = OpenPodNamespaces(pin_);
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_TRUE(pod->uts.valid());
  EXPECT_FALSE(pod->ipc.valid());
  EXPECT_FALSE(pod->shm.valid());
}

TEST_F(NamespacesTest, ASecondPinIsAlreadyExistsAndKeepsTheFirst) {
  PodNamespaceOptions options;
  options.hostname = "first";
  ASSERT_TRUE(PinPodNamespaces(holder_.get(), pin_, options).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(PinPodNamespaces(holder_.get(), pin_, {})));
  EXPECT_TRUE(OpenPodNamespaces(pin_).ok());
}

TEST_F(NamespacesTest, APlainFileLeftByAKillIsReusedByPinAndRemovedByUnpin) {
  ASSERT_TRUE(Open(pin_, O_CREAT | O_WRONLY, 0600).ok());
  EXPECT_TRUE(absl::IsNotFound(OpenPodNamespaces(pin_).status()));
  EXPECT_TRUE(PinPodNamespaces(holder_.get(), pin_, {}).ok());
  EXPECT_TRUE(UnpinPodNamespaces(pin_).ok());
  ASSERT_TRUE(Open(pin_, O_CREAT | O_WRONLY, 0600).ok());
  EXPECT_TRUE(UnpinPodNamespaces(pin_).ok());
  EXPECT_EQ(access(pin_.c_str(), F_OK), -1);
}

TEST_F(NamespacesTest, AFailedPinLeavesNothing) {
  const size_t before = Mounts().size();
  for (const char* point : {"pin_namespaces_before_bind", "pin_namespaces_after_bind"}) {
    ASSERT_TRUE(failpoint::Configure(absl::StrCat(point, "=error")).ok());
    EXPECT_FALSE(PinPodNamespaces(holder_.get(), pin_, {}).ok());
    EXPECT_EQ(access(pin_.c_str(), F_OK), -1);
    EXPECT_EQ(Mounts().size(), before);
  }
}

TEST_F(NamespacesTest, ANewHolderDoesNotCopyThePinsOfPods) {
  ASSERT_TRUE(PinPodNamespaces(holder_.get(), pin_, {}).ok());
  absl::StatusOr<UniqueFd> later = MakeHolderNamespace(dir_ / "data", dir_ / "run");
  ASSERT_TRUE(later.ok()) << later.status();
  const absl::Status status = OnPrivateThread([&]() -> absl::Status {
    RETURN_IF_ERROR(Enter(later->get()));
    EXPECT_EQ(Mounts().size(), 4u);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(OpenPodNamespaces(pin_).ok()) << "the host's pin stays";
}

// As on a host under systemd: everything is shared, and other namespaces get copies.
TEST_F(NamespacesTest, OnASharedHostTheRunDirectoryBecomesAPrivateMountOnce) {
  const absl::Status status = OnPrivateThread([&]() -> absl::Status {
    if (unshare(CLONE_NEWNS) != 0) return ErrnoStatus(errno, "unshare");
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("t", (dir_ / "run").c_str(), "tmpfs", 0, nullptr) != 0 ||
        mount(nullptr, (dir_ / "run").c_str(), nullptr, MS_SHARED, nullptr) != 0) {
      return ErrnoStatus(errno, "mount");
    }
    RETURN_IF_ERROR(EnsureDir(dir_ / "run/berth", 0700));
    const size_t before = Mounts().size();
    // OnPrivateThread inside starts from this thread's namespaces.
    ASSIGN_OR_RETURN(UniqueFd first, MakeHolderNamespace(dir_ / "data", dir_ / "run/berth"));
    ASSIGN_OR_RETURN(UniqueFd second, MakeHolderNamespace(dir_ / "data", dir_ / "run/berth"));
    EXPECT_EQ(Mounts().size(), before + 1);
    RETURN_IF_ERROR(PinPodNamespaces(second.get(), dir_ / "run/berth/ns", {}));
    EXPECT_EQ(Mounts().size(), before + 2);
    return UnpinPodNamespaces(dir_ / "run/berth/ns");
  });
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace berth::os
