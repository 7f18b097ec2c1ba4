#include "shim/child/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shim/child/identity.h"
#include "shim/child/report.h"

namespace berth::shim::child {
namespace {

constexpr unsigned kNoExecSeal = 8;  // MFD_NOEXEC_SEAL, Linux 6.3
constexpr unsigned long kChildSignal = 1UL << (SIGCHLD - 1);

void WriteAll(int fd, const char* text, int report_fd) {
  for (size_t size = strlen(text); size > 0;) {
    const ssize_t n = write(fd, text, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) Fail(report_fd, kStepHook, errno, "write state");
    text += n;
    size -= static_cast<size_t>(n);
  }
}

[[noreturn]] void ExecHook(const HookContext& context, const HookPlan& hook) {
  const PlanReader plan(context.setup);
  char** const argv = context.slots;
  char** const envp = argv + hook.args.count + 1;
  FillVector(plan, hook.args, argv);
  FillVector(plan, hook.env, envp);
  ResetSignals();
  (void)setsid();  // a new process leads nothing yet: cannot fail
  const char* path = plan.TextAt(hook.path);
  if (dup2(context.state_fd, 0) < 0) Fail(context.report_fd, kStepHook, errno, path);
  // Where a filter forbids it, all but those that are preserved are marked already.
  (void)syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
  (void)execve(path, argv, envp);
  Fail(context.report_fd, kStepHook, errno, path);
}

timespec Now() {
  timespec now = {};
  (void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);  // cannot fail for this clock
  return now;
}

// True: it has ended, with *status. False: the time was over.
bool AwaitHook(long pid, uint32_t timeout_seconds, int* status) {
  const timespec end = {Now().tv_sec + timeout_seconds, 0};
  for (;;) {
    const long n = syscall(SYS_wait4, pid, status, timeout_seconds == 0 ? 0 : WNOHANG, nullptr);
    if (n == pid) return true;
    if (timeout_seconds == 0) continue;  // a signal
    timespec left = Now();
    left.tv_sec = end.tv_sec - left.tv_sec;
    left.tv_nsec = 0;  // the second that has begun is the hook's
    if (left.tv_sec < 0) return false;
    if (left.tv_sec == 0) left.tv_nsec = 999999999;
    // SIGCHLD is blocked: one that has come already ends this at once.
    (void)syscall(SYS_rt_sigtimedwait, &kChildSignal, nullptr, &left, sizeof kChildSignal);
  }
}

void RunHook(const HookContext& context, const HookPlan& hook) {
  const PlanReader plan(context.setup);
  Words detail;
  detail.Add(plan.TextAt(hook.name)).Add(": ").Add(plan.TextAt(hook.path));
  const auto fail = [&](int error) { Fail(context.report_fd, kStepHook, error, detail.c_str()); };
  if (syscall(SYS_lseek, context.state_fd, 0L, SEEK_SET) != 0) fail(errno);
  // Not clone3: filters that cannot look behind its pointer forbid it.
  const long pid = syscall(SYS_clone, static_cast<long>(SIGCHLD), 0L, 0L, 0L, 0L);
  if (pid == 0) ExecHook(context, hook);
  if (pid < 0) fail(errno);
  int status = 0;
  if (!AwaitHook(pid, hook.timeout_seconds, &status)) {
    // Its session's group; it is not reaped yet, so the number is its own.
    (void)syscall(SYS_kill, -pid, SIGKILL);
    (void)syscall(SYS_kill, pid, SIGKILL);
    (void)syscall(SYS_wait4, pid, &status, 0, nullptr);
    fail(ETIMEDOUT);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  if (WIFSIGNALED(status)) {
    detail.Add(": killed by signal ").AddNumber(static_cast<uint64_t>(WTERMSIG(status)));
  } else {
    detail.Add(": exit status ").AddNumber(static_cast<uint64_t>(WEXITSTATUS(status)));
  }
  fail(0);
}

}  // namespace

int MakeState(const SetupPlan& setup, Text tail, int report_fd) {
  long fd = syscall(SYS_memfd_create, "state", MFD_CLOEXEC | kNoExecSeal);
  if (fd < 0 && errno == EINVAL) fd = syscall(SYS_memfd_create, "state", MFD_CLOEXEC);
  if (fd < 0) Fail(report_fd, kStepHook, errno, "make state");
  const PlanReader plan(&setup);
  Words pid;
  pid.AddNumber(static_cast<uint64_t>(getpid()));
  WriteAll(static_cast<int>(fd), plan.TextAt(setup.state_head), report_fd);
  WriteAll(static_cast<int>(fd), pid.c_str(), report_fd);
  WriteAll(static_cast<int>(fd), plan.TextAt(tail), report_fd);
  return static_cast<int>(fd);
}

void RunHooks(const HookContext& context, Span hooks) {
  if (hooks.count == 0) return;
  unsigned long before = 0;
  (void)syscall(SYS_rt_sigprocmask, SIG_BLOCK, &kChildSignal, &before, sizeof before);
  const auto* plans = PlanReader(context.setup).Elements<HookPlan>(hooks);
  for (uint32_t i = 0; i < hooks.count; ++i) RunHook(context, plans[i]);
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof before);
}

}  // namespace berth::shim::child
