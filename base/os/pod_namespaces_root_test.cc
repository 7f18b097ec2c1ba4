#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/namespaces.h"
#include "base/os/pod_namespaces.h"
#include "base/os/test_dir.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr unsigned long kGetOwner = 0xb701;  // NS_GET_USERNS

size_t MountCount() {
  return ParseMountInfo(*ReadFile("/proc/thread-self/mountinfo", 1 << 20))->size();
}

ino_t InodeOf(int fd) {
  struct stat st {};
  EXPECT_EQ(fstat(fd, &st), 0) << ErrnoText(errno);
  return st.st_ino;
}

// Runs `body` in these namespaces.
absl::Status In(std::vector<int> namespaces, const std::function<absl::Status()>& body) {
  return OnPrivateThread([&]() -> absl::Status {
    for (int ns : namespaces) {
      if (setns(ns, 0) != 0) return ErrnoStatus(errno, "setns");
    }
    return body();
  });
}

std::string Sysctl(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile("/proc/sys/" + path, 4096);
  return text.ok() ? text->substr(0, text->find('\n')) : std::string(text.status().message());
}

class PodNamespacesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_TRUE(EnsureDir(dir_ / "run", 0700).ok());
    OpenTable();
    options_.private_network = true;
    options_.network_path = dir_ / "netns";
  }
  void TearDown() override {
    EXPECT_TRUE(failpoint::Configure("").ok());
    if (table_ == nullptr) return;
    EXPECT_TRUE(table_->Unpin("pod", options_.network_path).ok());
    EXPECT_TRUE(PinTable::Remove(dir_ / "run").ok());
  }
  void OpenTable() {
    absl::StatusOr<PinTable> table = PinTable::Open(dir_ / "run");
    ASSERT_TRUE(table.ok()) << table.status();
    table_ = std::make_unique<PinTable>(*std::move(table));
  }
  PodNamespaces OpenPod() {
    absl::StatusOr<PodNamespaces> pod = table_->OpenPod("pod", options_.network_path);
    EXPECT_TRUE(pod.ok()) << pod.status();
    return pod.ok() ? *std::move(pod) : PodNamespaces();
  }
  void MapUsers() {
    options_.user.uids = {{0, 100000, 65536}};
    options_.user.gids = {{0, 200000, 65536}};
  }

  TestDir dir_;
  std::unique_ptr<PinTable> table_;
  PodNamespaceOptions options_;
};

TEST_F(PodNamespacesTest, APodAddsOneEntryToTheHostsTableOrNone) {
  const size_t before = MountCount();
  ASSERT_TRUE(table_->Pin("pod", options_).ok());
  EXPECT_EQ(MountCount(), before + 1);
  EXPECT_TRUE(table_->Unpin("pod", options_.network_path).ok());
  EXPECT_EQ(MountCount(), before);
  EXPECT_EQ(access(options_.network_path.c_str(), F_OK), -1);
  options_ = PodNamespaceOptions();
  ASSERT_TRUE(table_->Pin("pod", options_).ok());
  EXPECT_EQ(MountCount(), before);
  EXPECT_TRUE(table_->Unpin("pod", "").ok());
  EXPECT_TRUE(table_->Unpin("pod", "").ok());
  EXPECT_THAT(*table_->List(), IsEmpty());
}

TEST_F(PodNamespacesTest, ALaterProcessFindsTheSameNamespaces) {
  options_.hostname = "pod-one";
  ASSERT_TRUE(table_->Pin("pod", options_).ok());
  PodNamespaces first = OpenPod();
  const absl::Status kept = In({first.ipc.get()}, [&]() -> absl::Status {
    EXPECT_GE(shmget(4711, 4096, 0600 | IPC_CREAT | IPC_EXCL), 0) << ErrnoText(errno);
    ASSIGN_OR_RETURN(UniqueFd file, OpenAt(first.shm.get(), "kept", O_CREAT | O_WRONLY, 0600));
    return WriteAll(file.get(), "yes");
  });
  EXPECT_TRUE(kept.ok()) << kept;
  const ino_t net = InodeOf(first.net.get());
  first = PodNamespaces();
  OpenTable();
  EXPECT_THAT(*table_->List(), ElementsAre("pod"));
  PodNamespaces again = OpenPod();
  EXPECT_EQ(InodeOf(again.net.get()), net);
  EXPECT_EQ(*ReadFileAt(again.shm.get(), "kept", 10), "yes");
  const absl::Status seen = In({again.ipc.get(), again.uts.get()}, [&]() -> absl::Status {
    utsname name{};
    EXPECT_EQ(uname(&name), 0);
    EXPECT_STREQ(name.nodename, "pod-one");
    EXPECT_GE(shmget(4711, 4096, 0600), 0) << ErrnoText(errno);
    return absl::OkStatus();
  });
  EXPECT_TRUE(seen.ok()) << seen;
  EXPECT_EQ(shmget(4711, 4096, 0600), -1) << "the segment is the pod's, not the host's";
}

TEST_F(PodNamespacesTest, LoopbackIsUpAndSysctlsHoldInThePodOnly) {
  const std::string host_port = Sysctl("net/ipv4/ip_unprivileged_port_start");
  options_.sysctls = {{"net.ipv4.ip_unprivileged_port_start", "0"},
                      {"kernel.shm_rmid_forced", "1"},
                      {"fs.mqueue.queues_max", "77"}};
  const absl::Status pinned = table_->Pin("pod", options_);
  ASSERT_TRUE(pinned.ok()) << pinned;
  const PodNamespaces pod = OpenPod();
  const absl::Status seen = In({pod.net.get(), pod.ipc.get()}, [&]() -> absl::Status {
    EXPECT_EQ(Sysctl("net/ipv4/ip_unprivileged_port_start"), "0");
    EXPECT_EQ(Sysctl("kernel/shm_rmid_forced"), "1");
    EXPECT_EQ(Sysctl("fs/mqueue/queues_max"), "77");
    ASSIGN_OR_RETURN(const std::string routes, ReadFile("/proc/thread-self/net/fib_trie", 1 << 20));
    EXPECT_TRUE(absl::StrContains(routes, "127.0.0.1")) << routes;
    return absl::OkStatus();
  });
  EXPECT_TRUE(seen.ok()) << seen;
  EXPECT_EQ(Sysctl("net/ipv4/ip_unprivileged_port_start"), host_port);
}

TEST_F(PodNamespacesTest, ASysctlThatTheKernelRefusesIsInvalidAndNothingIsLeft) {
  const size_t before = MountCount();
  for (const auto& [name, value] : {std::pair("net.ipv4.nothing_of_this_name", "1"),
                                    std::pair("net.ipv4.ip_forward", "maybe")}) {
    options_.sysctls = {{name, value}};
    const absl::Status status = table_->Pin("pod", options_);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), name)) << status;
    EXPECT_THAT(*table_->List(), IsEmpty());
    EXPECT_EQ(MountCount(), before);
  }
}

TEST_F(PodNamespacesTest, AUserNamespaceOwnsTheOthersAndItsRootOwnsShm) {
  MapUsers();
  options_.hostname = "mapped";
  options_.sysctls = {{"net.ipv4.ip_unprivileged_port_start", "0"},
                      {"kernel.shm_rmid_forced", "1"},
                      {"fs.mqueue.queues_max", "77"}};
  const absl::Status pinned = table_->Pin("pod", options_);
  ASSERT_TRUE(pinned.ok()) << pinned;
  const PodNamespaces pod = OpenPod();
  ASSERT_TRUE(pod.user.valid());
  for (const UniqueFd* ns : {&pod.uts, &pod.ipc, &pod.net}) {
    const UniqueFd owner(ioctl(ns->get(), kGetOwner));
    ASSERT_TRUE(owner.valid()) << ErrnoText(errno);
    EXPECT_EQ(InodeOf(owner.get()), InodeOf(pod.user.get()));
  }
  struct stat st {};
  ASSERT_EQ(fstat(pod.shm.get(), &st), 0);
  EXPECT_EQ(st.st_uid, 100000u);
  EXPECT_EQ(st.st_gid, 200000u);
  EXPECT_EQ(st.st_mode & 07777, 01777u);
  const absl::Status seen = In({pod.net.get(), pod.uts.get()}, [&]() -> absl::Status {
    EXPECT_EQ(Sysctl("net/ipv4/ip_unprivileged_port_start"), "0");
    EXPECT_EQ(Sysctl("kernel/hostname"), "mapped");
    return absl::OkStatus();
  });
  EXPECT_TRUE(seen.ok()) << seen;
}

TEST_F(PodNamespacesTest, TheMapsAreWhatWasAskedForAndAChildOfTheCallStays) {
  MapUsers();
  absl::StatusOr<UserNamespaces> made = MakeUserNamespace(options_.user, CLONE_NEWUTS);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(made->uts.valid());
  EXPECT_FALSE(made->net.valid());
  // A child may enter it: it has one thread.
  const pid_t child = fork();
  if (child == 0) {
    if (setns(made->user.get(), CLONE_NEWUSER) != 0) _exit(1);
    absl::StatusOr<std::string> uids = ReadFile("/proc/self/uid_map", 4096);
    absl::StatusOr<std::string> gids = ReadFile("/proc/self/gid_map", 4096);
    absl::StatusOr<std::string> groups = ReadFile("/proc/self/setgroups", 64);
    const bool good = uids.ok() && absl::StrContains(*uids, "100000      65536") && gids.ok() &&
                      absl::StrContains(*gids, "200000      65536") && groups.ok() &&
                      absl::StartsWith(*groups, "allow");
    _exit(good ? 0 : 2);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "no child is left";
}

TEST_F(PodNamespacesTest, AMapThatTheKernelRefusesIsAnErrorAndLeavesNoProcess) {
  options_.user.uids = {{0, 100000, 10}, {5, 200000, 10}};  // they overlap
  options_.user.gids = {{0, 100000, 10}};
  EXPECT_TRUE(IsErrno(MakeUserNamespace(options_.user, 0).status(), EINVAL));
  EXPECT_FALSE(table_->Pin("pod", options_).ok());
  EXPECT_THAT(*table_->List(), IsEmpty());
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
}

TEST_F(PodNamespacesTest, ShmHasItsSizeAndCannotCarryPrograms) {
  options_.shm_bytes = 64 << 10;
  ASSERT_TRUE(table_->Pin("pod", options_).ok());
  const PodNamespaces pod = OpenPod();
  absl::StatusOr<UniqueFd> file = OpenAt(pod.shm.get(), "big", O_CREAT | O_WRONLY, 0600);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(IsErrno(WriteAll(file->get(), std::string(65 << 10, 'x')), ENOSPC));
}

TEST_F(PodNamespacesTest, HostIpcMeansNoIpcAndNoShm) {
  options_ = PodNamespaceOptions();
  options_.private_ipc = false;
  ASSERT_TRUE(table_->Pin("pod", options_).ok());
  const PodNamespaces pod = OpenPod();
  EXPECT_TRUE(pod.uts.valid());
  EXPECT_FALSE(pod.ipc.valid());
  EXPECT_FALSE(pod.shm.valid());
  EXPECT_FALSE(pod.net.valid());
}

TEST_F(PodNamespacesTest, ASecondPinIsAlreadyExistsAndKeepsTheFirst) {
  ASSERT_TRUE(table_->Pin("pod", options_).ok());
  const ino_t net = InodeOf(OpenPod().net.get());
  EXPECT_TRUE(absl::IsAlreadyExists(table_->Pin("pod", options_)));
  EXPECT_EQ(InodeOf(OpenPod().net.get()), net);
}

TEST_F(PodNamespacesTest, AFileOfSomebodyElseIsKept) {
  ASSERT_TRUE(Open(options_.network_path, O_WRONLY | O_CREAT, 0600).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(table_->Pin("pod", options_)));
  EXPECT_EQ(access(options_.network_path.c_str(), F_OK), 0);
  EXPECT_THAT(*table_->List(), IsEmpty());
  ASSERT_EQ(unlink(options_.network_path.c_str()), 0);
}

TEST_F(PodNamespacesTest, AFailedPinLeavesNothing) {
  const size_t before = MountCount();
  for (const char* point : {"pin_namespaces_before_bind", "pin_namespaces_after_bind",
                            "pin_network_before_bind", "pin_network_after_bind"}) {
    SCOPED_TRACE(point);
    ASSERT_TRUE(failpoint::Configure(absl::StrCat(point, "=error")).ok());
    EXPECT_FALSE(table_->Pin("pod", options_).ok());
    EXPECT_EQ(access(options_.network_path.c_str(), F_OK), -1);
    EXPECT_EQ(MountCount(), before);
    EXPECT_THAT(*table_->List(), IsEmpty());
  }
}

TEST_F(PodNamespacesTest, AnUnmountedNetworkPinIsNotFoundAndUnpinned) {
  ASSERT_TRUE(table_->Pin("pod", options_).ok());
  ASSERT_EQ(umount2(options_.network_path.c_str(), MNT_DETACH), 0);
  EXPECT_FALSE(IsPinnedNamespace(options_.network_path));
  EXPECT_TRUE(absl::IsNotFound(table_->OpenPod("pod", options_.network_path).status()));
  EXPECT_TRUE(table_->Unpin("pod", options_.network_path).ok());
}

TEST_F(PodNamespacesTest, ATableWithPodsIsNotRemoved) {
  ASSERT_TRUE(table_->Pin("pod", options_).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(PinTable::Remove(dir_ / "run")));
  EXPECT_TRUE(absl::IsNotFound(table_->OpenPod("other", "").status()));
}

TEST_F(PodNamespacesTest, AHolderMadeLaterDoesNotCopyThePins) {
  ASSERT_TRUE(table_->Pin("pod", options_).ok());
  ASSERT_TRUE(EnsureDir(dir_ / "data", 0700).ok());
  absl::StatusOr<UniqueFd> holder = MakeHolderNamespace(dir_ / "data", dir_ / "run");
  ASSERT_TRUE(holder.ok()) << holder.status();
  const absl::Status status = OnPrivateThread([&]() -> absl::Status {
    if (unshare(CLONE_FS) != 0 || setns(holder->get(), 0) != 0) return ErrnoStatus(errno, "setns");
    EXPECT_EQ(MountCount(), 4u);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

// As on a host under systemd: everything is shared, and other namespaces get copies.
TEST_F(PodNamespacesTest, OnASharedHostTheRunDirectoryBecomesAPrivateMountOnce) {
  const absl::Status status = OnPrivateThread([&]() -> absl::Status {
    if (unshare(CLONE_NEWNS) != 0) return ErrnoStatus(errno, "unshare");
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("t", (dir_ / "run").c_str(), "tmpfs", 0, nullptr) != 0 ||
        mount(nullptr, (dir_ / "run").c_str(), nullptr, MS_SHARED, nullptr) != 0) {
      return ErrnoStatus(errno, "mount");
    }
    const std::string run = dir_ / "run/berth";
    const std::string netns = dir_ / "run/netns";
    RETURN_IF_ERROR(EnsureDir(run, 0700));
    const size_t before = MountCount();
    // OnPrivateThread inside starts from this thread's namespaces.
    ASSIGN_OR_RETURN(const PinTable first, PinTable::Open(run));
    EXPECT_EQ(MountCount(), before + 2);
    ASSIGN_OR_RETURN(const PinTable second, PinTable::Open(run));
    RETURN_IF_ERROR(MakeNetworkDirectory(netns));
    EXPECT_EQ(MountCount(), before + 2) << "what is shared already needs no mount";
    options_.network_path = netns + "/pod";
    RETURN_IF_ERROR(second.Pin("pod", options_));
    EXPECT_EQ(MountCount(), before + 3);
    RETURN_IF_ERROR(first.Unpin("pod", options_.network_path));
    EXPECT_EQ(MountCount(), before + 2);
    RETURN_IF_ERROR(PinTable::Remove(run));
    EXPECT_EQ(MountCount(), before) << "the run directory is no mount any more";
    RETURN_IF_ERROR(PinTable::Remove(run));
    EXPECT_EQ(MountCount(), before) << "nor is what was mounted there before it";
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(PodNamespacesTest, TheNetworkDirectoryBecomesASharedMountOnce) {
  const absl::Status status = OnPrivateThread([&]() -> absl::Status {
    if (unshare(CLONE_NEWNS) != 0) return ErrnoStatus(errno, "unshare");
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      return ErrnoStatus(errno, "mount");
    }
    const size_t before = MountCount();
    RETURN_IF_ERROR(MakeNetworkDirectory(dir_ / "dir"));
    RETURN_IF_ERROR(MakeNetworkDirectory(dir_ / "dir"));
    EXPECT_EQ(MountCount(), before + 1);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

// On the way of every container: what it costs shows here when it grows.
TEST_F(PodNamespacesTest, OpeningAPodTakesWellUnderAMillisecond) {
  ASSERT_TRUE(table_->Pin("pod", options_).ok());
  constexpr int kTimes = 200;
  const int64_t began = MonotonicNanos();
  for (int i = 0; i < kTimes; ++i) (void)OpenPod();
  const int64_t each = (MonotonicNanos() - began) / kTimes;
  RecordProperty("open_pod_us", static_cast<int>(each / 1000));
  printf("open a pod's namespaces: %lld us\n", static_cast<long long>(each / 1000));
  EXPECT_LT(each, 5'000'000);
}

}  // namespace
}  // namespace berth::os
