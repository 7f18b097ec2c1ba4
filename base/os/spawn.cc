#include "base/os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

// A container's volumes and namespaces travel as fds: some hundred at most.
constexpr size_t kMaxFds = 512;

// Everything the child needs, laid out by the parent.
struct ChildPlan {
  int program_fd;
  const char* path;
  char* const* argv;
  char* const* envp;
  const std::pair<int, int>* fds;
  size_t fd_count;
  int highest;  // the largest target number
  const int* tasks_fds;
  size_t tasks_count;
  bool new_session;
  // Results, written by the child into the parent's memory (CLONE_VM).
  int error;
  const char* step;
};

// The child shares the parent's memory, a sanitizer's shadow and thread state included: what it
// runs must not be instrumented, and calls the kernel past the sanitizers' interceptors (a signal()
// of the child would rewrite TSan's table of the parent's handlers).
#if defined(__clang__)
#define BERTH_CHILD_CODE __attribute__((noinline, disable_sanitizer_instrumentation))
#else
#define BERTH_CHILD_CODE __attribute__((noinline, no_sanitize("address", "thread", "undefined")))
#endif

// With CLONE_VM | CLONE_VFORK and no stack of its own the child runs below this very frame, so the
// call must not go through a function that returns (the libc wrapper would), and what the child
// does must be a call: its locals may not share this frame's slots with the parent's.
__attribute__((always_inline)) inline long CloneVfork(clone_args* args) {
#if defined(__x86_64__)
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "0"(static_cast<long>(SYS_clone3)), "D"(args), "S"(sizeof *args)
               : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = SYS_clone3;
  register long x0 asm("x0") = reinterpret_cast<long>(args);
  register long x1 asm("x1") = sizeof *args;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
  return x0;
#else
#error "add the system call instruction of this architecture"
#endif
}

[[noreturn]] BERTH_CHILD_CODE void Fail(ChildPlan* plan, const char* step) {
  plan->error = errno;
  plan->step = step;
  for (;;) (void)syscall(SYS_exit_group, 127);
}

// Standard streams that nobody named are /dev/null.
BERTH_CHILD_CODE void OpenNull(ChildPlan* plan) {
  const long null = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) Fail(plan, "open /dev/null");
  for (long fd = 0; fd <= 2; ++fd) {
    // Where the caller itself had no such fd, it may be the new one.
    const long done =
        fd == null ? syscall(SYS_fcntl, fd, F_SETFD, 0L) : syscall(SYS_dup3, null, fd, 0L);
    if (done < 0) Fail(plan, "dup");
  }
}

// Puts every fd at its number and marks all others close-on-exec. The value: the program's fd.
BERTH_CHILD_CODE long ArrangeFds(ChildPlan* plan) {
  // Sources are lifted above the targets first, so that none is overwritten while still needed.
  const long floor = plan->highest + 1;
  long program = plan->program_fd;
  if (program >= 0 && (program = syscall(SYS_fcntl, program, F_DUPFD_CLOEXEC, floor)) < 0) {
    Fail(plan, "dup program");
  }
  long lifted[kMaxFds];
  for (size_t i = 0; i < plan->fd_count; ++i) {
    lifted[i] = syscall(SYS_fcntl, plan->fds[i].first, F_DUPFD_CLOEXEC, floor);
    if (lifted[i] < 0) Fail(plan, "dup");
  }
  OpenNull(plan);
  for (size_t i = 0; i < plan->fd_count; ++i) {
    if (syscall(SYS_dup3, lifted[i], plan->fds[i].second, 0L) < 0) Fail(plan, "dup");
  }
  if (syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) != 0) {
    Fail(plan, "close_range");
  }
  for (size_t i = 0; i < plan->fd_count; ++i) {
    if (syscall(SYS_fcntl, plan->fds[i].second, F_SETFD, 0L) != 0) {
      Fail(plan, "clear close-on-exec");
    }
  }
  return program;
}

// Handlers fall back to the default on exec by themselves; ignored signals would stay ignored.
BERTH_CHILD_CODE void ResetSignals(ChildPlan* plan) {
  const uint64_t default_action[4] = {};  // the kernel's struct: handler, flags, restorer, mask
  for (long sig = 1; sig < NSIG; ++sig) {
    (void)syscall(SYS_rt_sigaction, sig, default_action, nullptr, 8L);  // SIGKILL refuses, rightly
  }
  const uint64_t none = 0;
  if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, 8L) != 0) Fail(plan, "sigprocmask");
}

// Signals are blocked until ResetSignals.
[[noreturn]] BERTH_CHILD_CODE void RunChild(ChildPlan* plan) {
  for (size_t i = 0; i < plan->tasks_count; ++i) {
    if (syscall(SYS_write, plan->tasks_fds[i], "0", 1L) != 1) Fail(plan, "join cgroup");
  }
  if (plan->new_session && syscall(SYS_setsid) < 0) Fail(plan, "setsid");
  const long program = ArrangeFds(plan);
  ResetSignals(plan);
  if (program >= 0) {
    (void)syscall(SYS_execveat, program, "", plan->argv, plan->envp, AT_EMPTY_PATH);
  } else {
    (void)syscall(SYS_execve, plan->path, plan->argv, plan->envp);
  }
  Fail(plan, "exec");
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& s : strings) pointers.push_back(const_cast<char*>(s.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

absl::StatusOr<Child> Spawn(const SpawnOptions& options) {
  if (options.fds.size() > kMaxFds) {
    return absl::ResourceExhaustedError(absl::StrCat("spawn: ", options.fds.size(), " fds"));
  }
  const std::vector<char*> argv = Pointers(options.argv);
  const std::vector<char*> envp = Pointers(options.env);
  ChildPlan plan{};
  plan.program_fd = options.program_fd;
  plan.path = options.path.c_str();
  plan.argv = argv.data();
  plan.envp = envp.data();
  plan.fds = options.fds.data();
  plan.fd_count = options.fds.size();
  plan.highest = 2;
  for (const auto& [from, to] : options.fds) plan.highest = std::max(plan.highest, to);
  plan.tasks_fds = options.cgroup_tasks_fds.data();
  plan.tasks_count = options.cgroup_tasks_fds.size();
  plan.new_session = options.new_session;

  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | options.clone_flags;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  if (options.cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(options.cgroup_fd);
  }

  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  // Raw: the child must not run a handler of ours in shared memory, glibc's internal ones included.
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
  const long pid = CloneVfork(&args);
  if (pid == 0) RunChild(&plan);
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, 8);

  const std::string what = absl::StrCat("start ", options.argv.empty() ? "?" : options.argv[0]);
  if (pid < 0) return ErrnoStatus(static_cast<int>(-pid), absl::StrCat(what, ": clone3"));
  Child child{static_cast<pid_t>(pid), UniqueFd(pidfd)};
  if (plan.error != 0) {
    // It has ended with 127 already.
    while (waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return ErrnoStatus(plan.error, absl::StrCat(what, ": ", plan.step));
  }
  return child;
}

absl::StatusOr<int> WaitChild(const Child& child, Deadline deadline) {
  pollfd p{child.pidfd.get(), POLLIN, 0};
  for (;;) {
    const int n = poll(&p, 1, deadline.PollMillis());
    if (n > 0) break;
    if (n < 0 && errno != EINTR) return ErrnoStatus(errno, "poll pidfd");
    if (deadline.Expired()) {
      return absl::DeadlineExceededError(absl::StrCat("process ", child.pid, " still runs"));
    }
  }
  int status = 0;
  while (waitpid(child.pid, &status, 0) < 0) {
    if (errno != EINTR) return ErrnoStatus(errno, absl::StrCat("wait for ", child.pid));
  }
  return status;
}

}  // namespace berth::os
