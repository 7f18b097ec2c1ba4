#include "shim/monitor/pod_init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace berth::shim::monitor {
namespace {

void Report(int32_t step, int32_t value) {
  const InitReport report = {step, value};
  (void)!write(kInitReportFd, &report, sizeof report);  // a daemon that is gone cleans up later
}

// Nothing of the host, nor of the data directory, may be reached through /proc/1/root, which
// containers of the pod see: the root becomes an empty, read-only directory.
bool LeaveFileSystems() {
  const int empty = open_tree(AT_FDCWD, "/root", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (empty < 0) return false;
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         move_mount(empty, "", AT_FDCWD, "/root", MOVE_MOUNT_F_EMPTY_PATH) == 0 &&
         fchdir(empty) == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
         umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
}

bool SetOomScore(const char* value) {
  const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t size = static_cast<ssize_t>(strlen(value));
  const bool ok = write(fd, value, size) == size;
  (void)close(fd);
  return ok;
}

// Root of whatever user namespace this is in by now.
bool BecomeRoot() {
  return syscall(SYS_setgroups, 0, nullptr) == 0 && syscall(SYS_setresgid, 0, 0, 0) == 0 &&
         syscall(SYS_setresuid, 0, 0, 0) == 0;
}

// All but the capabilities that the clone needs.
bool LimitPrivileges() {
  for (int capability = 0; capability < 64; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno != EINVAL || capability == 0) return false;
    break;  // past the last one of this kernel
  }
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

bool DropCapabilities() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2] = {};
  return syscall(SYS_capset, &header, none) == 0;
}

// Blocked signals are kept even for a PID 1 without handlers, so each comes out of sigwaitinfo.
void BlockSignals() {
  const unsigned long all = ~0UL;
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, sizeof all);  // cannot fail
}

// A sender in another PID namespace has no pid here. SI_USER: the kernel's own word, not a number
// that the sender wrote (sigqueue).
bool IsToldToEnd(const siginfo_t& info) {
  return info.si_signo == SIGTERM && info.si_code == SI_USER && info.si_pid == 0;
}

[[noreturn]] void Reap() {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGCHLD);
  sigaddset(&wanted, SIGTERM);
  for (;;) {
    siginfo_t info;
    if (sigwaitinfo(&wanted, &info) > 0 && IsToldToEnd(info)) _exit(0);
    // SIGCHLDs coalesce.
    while (waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {
    }
  }
}

[[noreturn]] void RunInit() {
  if (!DropCapabilities()) {
    Report(kInitPrivilegesFailed, errno);
    _exit(1);
  }
  Report(kInitReady, 0);
  (void)syscall(SYS_close_range, 0U, ~0U, 0U);  // the kernel is at least 5.14
  Reap();
}

int Prepare(int argc, char** argv, int32_t* failed) {
  *failed = kInitHolderFailed;
  if (setns(kInitHolderFd, CLONE_NEWNS) != 0) return errno;
  *failed = kInitOomScoreFailed;
  if (!SetOomScore(argv[2])) return errno;
  *failed = kInitRootFailed;
  if (!LeaveFileSystems()) return errno;
  *failed = kInitJoinFailed;
  for (int i = 3; i < argc; ++i) {
    if (setns(kInitJoinFd + i - 3, atoi(argv[i])) != 0) return errno;
  }
  if (unshare(CLONE_NEWCGROUP) != 0) return errno;
  *failed = kInitUserFailed;
  if (!BecomeRoot()) return errno;
  *failed = kInitPrivilegesFailed;
  // Not dumpable after the change of user, which makes a process so: /proc/1 shows it to the pod.
  if (!LimitPrivileges() || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
      prctl(PR_SET_NAME, "berth-init", 0, 0, 0) != 0) {
    return errno;
  }
  return 0;
}

}  // namespace

int RunPodInit(int argc, char** argv) {
  int32_t failed = 0;
  if (const int error = Prepare(argc, argv, &failed); error != 0) {
    Report(failed, error);
    return 1;
  }
  BlockSignals();
  clone_args args;
  memset(&args, 0, sizeof args);
  args.flags = CLONE_NEWPID | CLONE_PARENT;  // CLONE_PARENT: the exit signal is the parent's
  const long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) RunInit();
  if (pid < 0) {
    Report(kInitCloneFailed, errno);
  } else {
    Report(kInitBorn, static_cast<int32_t>(pid));
  }
  return 0;
}

}  // namespace berth::shim::monitor
