#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/file.h"
#include "image/worker/confine.h"
#include "image/worker/testing/worker_run.h"

namespace berth::worker {
namespace {

// Runs `body` in a forked child and gives back what it wrote; "" means that all went well. The
// child ends by _exit: what it was confined to must not run the parent's handlers.
std::string InChild(const std::function<std::string()>& body) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return "pipe2";
  const pid_t pid = fork();
  if (pid == 0) {
    const std::string text = body();
    (void)!write(fds[1], text.data(), text.size());
    _exit(0);
  }
  close(fds[1]);
  std::string text = os::ReadAll(fds[0], 1 << 16).value_or("unreadable");
  close(fds[0]);
  int status = 0;
  if (waitpid(pid, &status, 0) != pid || status != 0) absl::StrAppend(&text, " status ", status);
  return text;
}

// /proc/PID/status of a child after `confine`, seen from outside while it waits.
std::string StatusOf(const std::function<bool()>& confine) {
  int go[2];
  int ready[2];
  if (pipe2(go, O_CLOEXEC) != 0 || pipe2(ready, O_CLOEXEC) != 0) return "pipe2";
  const pid_t pid = fork();
  if (pid == 0) {
    close(go[1]);  // its end wakes this child
    char c = confine() ? 'y' : 'n';
    (void)!write(ready[1], &c, 1);
    (void)!read(go[0], &c, 1);
    _exit(0);
  }
  char answer = 0;
  std::string status = "not confined";
  if (read(ready[0], &answer, 1) == 1 && answer == 'y') {
    status = os::ReadFile(absl::StrCat("/proc/", pid, "/status"), 1 << 16).value_or("");
  }
  for (const int fd : {go[0], go[1], ready[0], ready[1]}) close(fd);
  if (waitpid(pid, nullptr, 0) != pid) status += "waitpid";
  return status;
}

MATCHER_P(HasLines, lines, "") {
  const std::vector<absl::string_view> all = absl::StrSplit(arg, '\n');
  for (const std::string& line : lines) {
    if (std::find(all.begin(), all.end(), line) == all.end()) {
      *result_listener << "without " << line;
      return false;
    }
  }
  return true;
}
using Lines = std::vector<std::string>;

class ConfineTest : public ::testing::Test {
 protected:
  // The same walls as a pull's fetching process; below readable_ files can be read.
  std::string FetcherConfined(const std::function<std::string()>& body) {
    return InChild([&]() -> std::string {
      const absl::Status status = ConfineFetcher({readable_, "/absent"});
      return status.ok() ? body() : std::string(status.message());
    });
  }
  void SetUp() override {
    ASSERT_EQ(mkdir(readable_.c_str(), 0755), 0);
    const os::UniqueFd fd(open((readable_ + "/f").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_TRUE(fd.valid());
  }
  std::string Confined(const std::function<std::string(int)>& body) {
    return InChild([&]() -> std::string {
      const int fd = open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      absl::StatusOr<Confinement> report = Confine(fd, Limits{});
      if (!report.ok()) return std::string(report.status().message());
      return body(fd);
    });
  }
  testing::TempDir dir_;
  const std::string readable_ = dir_.path() + "/readable";
};

#define EXPECT_CALL_FAILS(call) \
  if ((call) != -1) return absl::StrCat(#call, " succeeded");
#define EXPECT_CALL_WORKS(call) \
  if ((call) < 0) return absl::StrCat(#call, ": errno ", errno);

TEST_F(ConfineTest, TheOutsideIsOutOfReach) {
  EXPECT_EQ(Confined([](int) -> std::string {
              EXPECT_CALL_FAILS(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
              EXPECT_CALL_FAILS(open("/proc/self/status", O_RDONLY | O_CLOEXEC));
              EXPECT_CALL_FAILS(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
              EXPECT_CALL_FAILS(mkdir("/tmp/berth-confine-canary", 0700));
              EXPECT_CALL_FAILS(unlink("/etc/hostname"));
              EXPECT_CALL_FAILS(chmod("/tmp", 01777));
              EXPECT_CALL_FAILS(socket(AF_INET, SOCK_STREAM, 0));
              EXPECT_CALL_FAILS(socket(AF_UNIX, SOCK_STREAM, 0));
              EXPECT_CALL_FAILS(mount("none", "/tmp", "tmpfs", 0, nullptr));
              EXPECT_CALL_FAILS(ptrace(PTRACE_TRACEME, 0, 0, 0));
              EXPECT_CALL_FAILS(fork());
              EXPECT_CALL_FAILS(execl("/bin/true", "true", nullptr));
              EXPECT_CALL_FAILS(kill(1, 0));
              EXPECT_CALL_FAILS(setuid(0));
              EXPECT_CALL_FAILS(chroot("/"));
              EXPECT_CALL_FAILS(syscall(SYS_bpf, 0, nullptr, 0));
              if (mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
                return "executable memory";
              }
              return "";
            }),
            "");
}

TEST_F(ConfineTest, WhatLayersNeedWorksInTheStagingDirectory) {
  EXPECT_EQ(
      Confined([](int dir) -> std::string {
        EXPECT_CALL_WORKS(mkdirat(dir, "a", 0755));
        EXPECT_CALL_WORKS(mkdirat(dir, "b", 0755));
        const int fd = openat(dir, "a/f", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        EXPECT_CALL_WORKS(fd);
        EXPECT_CALL_WORKS(write(fd, "x", 1));
        EXPECT_CALL_WORKS(ftruncate(fd, 100));
        EXPECT_CALL_WORKS(fchown(fd, 1000, 1001));
        EXPECT_CALL_WORKS(fchmod(fd, 06755));
        const char capability[20] = {1, 0, 0, 2, 0, 4};
        EXPECT_CALL_WORKS(fsetxattr(fd, "security.capability", capability, sizeof capability, 0));
        EXPECT_CALL_WORKS(mknodat(dir, "a/whiteout", S_IFCHR, makedev(0, 0)));
        EXPECT_CALL_WORKS(mknodat(dir, "a/null", S_IFCHR | 0666, makedev(1, 3)));
        EXPECT_CALL_WORKS(mknodat(dir, "a/fifo", S_IFIFO | 0666, 0));
        EXPECT_CALL_WORKS(symlinkat("/etc/passwd", dir, "a/link"));
        EXPECT_CALL_WORKS(fchownat(dir, "a/link", 5, 5, AT_SYMLINK_NOFOLLOW));
        EXPECT_CALL_WORKS(linkat(dir, "a/f", dir, "b/g", 0));
        EXPECT_CALL_WORKS(symlinkat("/etc/passwd", dir, "b/link"));
        EXPECT_CALL_WORKS(utimensat(dir, "b/link", nullptr, AT_SYMLINK_NOFOLLOW));
        EXPECT_CALL_WORKS(unlinkat(dir, "a/null", 0));
        EXPECT_CALL_FAILS(openat(dir, "b/link", O_RDONLY | O_CLOEXEC));  // leads to /etc/passwd
        EXPECT_CALL_FAILS(openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        EXPECT_CALL_FAILS(fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0));
        return "";
      }),
      "");
  struct stat st;
  ASSERT_EQ(stat((dir_.path() + "/b/g").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 06755u);
  EXPECT_EQ(st.st_uid, 1000u);
}

TEST_F(ConfineTest, OnlyTheSixCapabilitiesAreLeftInAnySet) {
  EXPECT_EQ(Confined([](int) -> std::string {
              __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
              __user_cap_data_struct data[2] = {};
              // The filter has no capget: nothing in the worker asks afterwards.
              EXPECT_CALL_FAILS(syscall(SYS_capget, &header, data));
              EXPECT_CALL_FAILS(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
              return "";
            }),
            "");
  EXPECT_THAT(StatusOf([this] {
                const int fd = open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                return Confine(fd, Limits{}).ok();
              }),
              HasLines(Lines{"CapInh:\t0000000000000000", "CapPrm:\t000000008800001b",
                             "CapEff:\t000000008800001b", "CapBnd:\t000000008800001b",
                             "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"}));
}

TEST_F(ConfineTest, TheFetcherReadsWhatItIsGivenAndWritesNothing) {
  EXPECT_EQ(FetcherConfined([this]() -> std::string {
              const std::string file = readable_ + "/f";
              const std::string next = dir_.path() + "/next";
              EXPECT_CALL_WORKS(open(file.c_str(), O_RDONLY | O_CLOEXEC));
              EXPECT_CALL_WORKS(open(readable_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
              EXPECT_CALL_FAILS(open("/etc/shadow", O_RDONLY | O_CLOEXEC));
              EXPECT_CALL_FAILS(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
              EXPECT_CALL_FAILS(open("/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
              EXPECT_CALL_FAILS(open("/proc/self/environ", O_RDONLY | O_CLOEXEC));
              EXPECT_CALL_FAILS(open("/proc/1/status", O_RDONLY | O_CLOEXEC));
              EXPECT_CALL_FAILS(open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
              EXPECT_CALL_FAILS(open(file.c_str(), O_WRONLY | O_CLOEXEC));
              EXPECT_CALL_FAILS(open(file.c_str(), O_RDWR | O_CLOEXEC));
              EXPECT_CALL_FAILS(open(file.c_str(), O_RDONLY | O_TRUNC | O_CLOEXEC));
              EXPECT_CALL_FAILS(open(next.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
              EXPECT_CALL_FAILS(open(readable_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
              EXPECT_CALL_FAILS(mkdir(next.c_str(), 0700));
              EXPECT_CALL_FAILS(mknod(next.c_str(), S_IFIFO | 0600, 0));
              EXPECT_CALL_FAILS(symlink("/etc/passwd", next.c_str()));
              EXPECT_CALL_FAILS(link(file.c_str(), next.c_str()));
              EXPECT_CALL_FAILS(rename(file.c_str(), next.c_str()));
              EXPECT_CALL_FAILS(unlink(file.c_str()));
              EXPECT_CALL_FAILS(truncate(file.c_str(), 0));
              EXPECT_CALL_FAILS(chmod(file.c_str(), 0777));
              EXPECT_CALL_FAILS(chown(file.c_str(), 1, 1));
              EXPECT_CALL_FAILS(setxattr(file.c_str(), "user.x", "y", 1, 0));
              EXPECT_CALL_FAILS(syscall(SYS_openat2, AT_FDCWD, file.c_str(), nullptr, 0));
              return "";
            }),
            "");
}

TEST_F(ConfineTest, TheFetcherConnectsAndDoesNothingElseWithSockets) {
  sockaddr_un daemon{};
  daemon.sun_family = AF_UNIX;
  strcpy(daemon.sun_path, (dir_.path() + "/daemon").c_str());
  const os::UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&daemon), sizeof daemon), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  EXPECT_EQ(
      FetcherConfined([&daemon]() -> std::string {
        int pair[2];
        const int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
        EXPECT_CALL_WORKS(tcp);
        EXPECT_CALL_WORKS(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        EXPECT_CALL_WORKS(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
        EXPECT_CALL_WORKS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
        EXPECT_CALL_FAILS(connect(pair[0], reinterpret_cast<sockaddr*>(&daemon), sizeof daemon));
        if (errno != EISCONN) return absl::StrCat("connect of a pair: errno ", errno);
        int bytes = 0;
        EXPECT_CALL_WORKS(ioctl(pair[0], FIONREAD, &bytes));
        EXPECT_CALL_FAILS(ioctl(pair[0], SIOCGSTAMP, &bytes));
        if (errno != EPERM) return absl::StrCat("SIOCGSTAMP: errno ", errno);
        EXPECT_CALL_FAILS(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
        EXPECT_CALL_FAILS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
        EXPECT_CALL_FAILS(socket(AF_UNIX, SOCK_STREAM, 0));
        EXPECT_CALL_FAILS(socket(AF_UNIX, SOCK_DGRAM, 0));
        EXPECT_CALL_FAILS(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
        EXPECT_CALL_FAILS(socket(AF_INET6, SOCK_RAW, IPPROTO_RAW));
        EXPECT_CALL_FAILS(socket(AF_PACKET, SOCK_RAW, 0));
        EXPECT_CALL_FAILS(socket(AF_VSOCK, SOCK_STREAM, 0));
        EXPECT_CALL_FAILS(socket(AF_ALG, SOCK_SEQPACKET, 0));
        EXPECT_CALL_FAILS(socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT));
        EXPECT_CALL_FAILS(socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER));
        EXPECT_CALL_FAILS(listen(tcp, 1));
        sockaddr_in any{};
        any.sin_family = AF_INET;
        const int abi = static_cast<int>(syscall(SYS_landlock_create_ruleset, nullptr, 0, 1));
        if (abi >= 4) {
          EXPECT_CALL_FAILS(bind(tcp, reinterpret_cast<sockaddr*>(&any), sizeof any));
        }
        return "";
      }),
      "");
}

TEST_F(ConfineTest, TheFetcherStartsAndInspectsNoProcess) {
  const pid_t parent = getpid();
  EXPECT_EQ(FetcherConfined([parent]() -> std::string {
              int answer = 0;
              std::thread([&answer] { answer = 42; }).join();
              if (answer != 42) return "the thread did not run";
              EXPECT_CALL_FAILS(fork());
              EXPECT_CALL_FAILS(vfork());
              EXPECT_CALL_FAILS(execl("/bin/true", "true", nullptr));
              EXPECT_CALL_FAILS(ptrace(PTRACE_TRACEME, 0, 0, 0));
              EXPECT_CALL_FAILS(ptrace(PTRACE_ATTACH, parent, 0, 0));
              EXPECT_CALL_FAILS(syscall(SYS_process_vm_readv, parent, nullptr, 0, nullptr, 0, 0));
              EXPECT_CALL_FAILS(syscall(SYS_pidfd_open, parent, 0));
              EXPECT_CALL_FAILS(kill(parent, 0));
              EXPECT_CALL_FAILS(setuid(0));
              EXPECT_CALL_FAILS(chroot("/"));
              EXPECT_CALL_FAILS(mount("none", "/tmp", "tmpfs", 0, nullptr));
              EXPECT_CALL_FAILS(syscall(SYS_unshare, CLONE_NEWUSER));
              EXPECT_CALL_FAILS(syscall(SYS_setns, 0, 0));
              EXPECT_CALL_FAILS(syscall(SYS_bpf, 0, nullptr, 0));
              EXPECT_CALL_FAILS(syscall(SYS_io_uring_setup, 1, nullptr));
              EXPECT_CALL_FAILS(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
              if (mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
                return "executable memory";
              }
              return "";
            }),
            "");
}

TEST_F(ConfineTest, TheFetcherHasNoCapabilityInAnySet) {
  EXPECT_THAT(StatusOf([this] { return ConfineFetcher({readable_}).ok(); }),
              HasLines(Lines{"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000",
                             "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000",
                             "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"}));
}

TEST_F(ConfineTest, ThreadsCanStillBeMadeAndProcessesCannot) {
  EXPECT_EQ(Confined([](int) -> std::string {
              int answer = 0;
              std::thread([&answer] { answer = 42; }).join();
              if (answer != 42) return "the thread did not run";
              EXPECT_CALL_FAILS(vfork());
              EXPECT_CALL_FAILS(syscall(SYS_unshare, 0));
              return "";
            }),
            "");
}

}  // namespace
}  // namespace berth::worker
