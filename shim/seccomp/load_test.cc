// Loads the real program into a real process. Needs no privilege: no_new_privs is set first.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "shim/seccomp/profile.h"

namespace berth::shim::seccomp {
namespace {

// What one call answered: 0 or its errno.
int ErrnoOf(long number, long a = 0, long b = 0, long c = 0) {
  errno = 0;
  return syscall(number, a, b, c) < 0 ? errno : 0;
}

int Load(const std::string& program) {
  sock_fprog prog = {
      static_cast<uint16_t>(program.size() / sizeof(sock_filter)),
      const_cast<sock_filter*>(reinterpret_cast<const sock_filter*>(program.data()))};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  return ErrnoOf(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, reinterpret_cast<long>(&prog));
}

// 0, or the number of the line that did not answer as it must.
int CheckCalls() {
  if (getpid() <= 0) return __LINE__;
  if (ErrnoOf(SYS_unshare, CLONE_NEWUTS) != EPERM) return __LINE__;
  if (ErrnoOf(SYS_clone3, 0, 0) != ENOSYS) return __LINE__;
  if (ErrnoOf(2000) != ENOSYS) return __LINE__;
  if (ErrnoOf(SYS_socket, AF_VSOCK, SOCK_STREAM) != EPERM) return __LINE__;
  if (ErrnoOf(SYS_socket, 0x100000000 | AF_VSOCK, SOCK_STREAM) != EPERM) return __LINE__;
  if (ErrnoOf(SYS_socket, AF_UNIX, SOCK_STREAM) != 0) return __LINE__;
  if (ErrnoOf(SYS_personality, 0xffffffff) != 0) return __LINE__;
  if (ErrnoOf(SYS_personality, 0x40000) != EPERM) return __LINE__;
  if (ErrnoOf(SYS_clone, CLONE_NEWUTS | SIGCHLD) != EPERM) return __LINE__;
  // Newer than libseccomp: mseal passes (to the kernel's EINVAL), listns is forbidden.
  if (ErrnoOf(462, 1, 1) == EPERM) return __LINE__;
  if (ErrnoOf(470) != EPERM) return __LINE__;
  const pid_t child = fork();
  if (child == 0) _exit(0);
  if (child < 0 || waitpid(child, nullptr, 0) != child) return __LINE__;
  return 0;
}

TEST(LoadTest, KernelTakesTheDefaultProfileAndAnswersByIt) {
  const auto program = Compile(DefaultProfile(0));
  ASSERT_TRUE(program.ok()) << program.status();
  int report[2];
  ASSERT_EQ(pipe2(report, O_CLOEXEC), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int outcome = Load(*program);
    if (outcome == 0) outcome = CheckCalls();
    _exit(write(report[1], &outcome, sizeof outcome) == sizeof outcome ? 0 : 1);
  }
  close(report[1]);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  int outcome = -1;
  ASSERT_EQ(read(report[0], &outcome, sizeof outcome), ssize_t{sizeof outcome}) << status;
  close(report[0]);
  EXPECT_EQ(outcome, 0) << "an errno of the load, or the line of CheckCalls that failed";
}

}  // namespace
}  // namespace berth::shim::seccomp
