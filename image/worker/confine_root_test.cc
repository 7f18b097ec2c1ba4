#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
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

class ConfineTest : public ::testing::Test {
 protected:
  std::string Confined(const std::function<std::string(int)>& body) {
    return InChild([&]() -> std::string {
      const int fd = open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      absl::StatusOr<Confinement> report = Confine(fd, Limits{});
      if (!report.ok()) return std::string(report.status().message());
      return body(fd);
    });
  }
  testing::TempDir dir_;
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
  // Seen from outside, in /proc of a child that waits.
  int go[2];
  int ready[2];
  ASSERT_EQ(pipe2(go, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    const int fd = open(dir_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(go[1]);  // its end wakes this child
    const bool ok = Confine(fd, Limits{}).ok();
    char c = ok ? 'y' : 'n';
    (void)!write(ready[1], &c, 1);
    (void)!read(go[0], &c, 1);
    _exit(0);
  }
  char answer = 0;
  ASSERT_EQ(read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  const std::string status =
      os::ReadFile(absl::StrCat("/proc/", pid, "/status"), 1 << 16).value_or("");
  for (const char* line : {"CapInh:\t0000000000000000", "CapPrm:\t000000008800001b",
                           "CapEff:\t000000008800001b", "CapBnd:\t000000008800001b",
                           "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"}) {
    EXPECT_NE(status.find(line), std::string::npos) << line << "\n" << status;
  }
  for (const int fd : {go[0], go[1], ready[0], ready[1]}) close(fd);
  EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
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
