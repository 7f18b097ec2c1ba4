#include "shim/child/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <initializer_list>

#include "shim/child/attributes.h"
#include "shim/child/identity.h"
#include "shim/child/plan.h"
#include "shim/child/report.h"
#include "shim/child/stdio.h"
#include "shim/child/terminal.h"
#include "shim/child/user_namespace.h"

namespace berth::shim::child {
namespace {

struct ExecContext {
  const ExecRequest* request;
  const ProcessPlan* plan;
  int report_fd;
  int gate_fd;  // -1 = none
  char** envp;
};

// Born in the v2 group it would never run on the CPUs that are named for the time before.
bool JoinsCgroupItself(const ExecContext& context) {
  return context.request->cgroup_fd >= 0 && context.plan->exec_affinity_initial.count != 0;
}

void JoinGroup(int cgroup_fd, int report_fd) {
  const int fd = openat(cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) != 1) Fail(report_fd, kStepCgroup, errno, "cgroup.procs");
  close(fd);
}

[[noreturn]] void RunExecChild(const ExecContext& context) {
  const ExecRequest& request = *context.request;
  const ProcessPlan& plan = *context.plan;
  ResetSignals();
  umask(0);
  SetAffinity(plan, plan.exec_affinity_initial, context.report_fd);
  for (int i = 0; i < request.tasks_count; ++i) JoinTasks(request.tasks_fds[i], context.report_fd);
  if (JoinsCgroupItself(context)) JoinGroup(request.cgroup_fd, context.report_fd);
  SetAffinity(plan, plan.exec_affinity_final, context.report_fd);
  // Still the holder's /proc, which shows every process of the host.
  SetOomScore(plan.oom_score_adj, context.report_fd);
  SetLabels(plan, context.report_fd);
  const bool in_user_namespace = (plan.flags & kUserNamespace) != 0;
  if (in_user_namespace) {
    SetScheduling(plan, SchedulingCaller::kProcess, context.report_fd);
    RaiseHardLimits(plan, context.report_fd);
    const int stdio[] = {request.stdin_fd, request.stdout_fd, request.stderr_fd};
    for (const int fd : stdio) OwnPipe(fd, plan.stdio_owner, context.report_fd);
  }
  // One call: the kernel enters the user namespace first and the others with its capabilities.
  const uint64_t namespaces = plan.namespaces & ~static_cast<uint64_t>(CLONE_NEWPID);
  if (setns(request.init_pidfd, static_cast<int>(namespaces)) != 0) {
    Fail(context.report_fd, kStepNamespaces, errno, "of the first process");
  }
  if (in_user_namespace) BecomeNamespaceRoot(context.report_fd);
  const int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root_fd < 0) Fail(context.report_fd, kStepRoot, errno, "/");
  int slave = -1;
  if (request.terminal.socket >= 0) {
    slave = OpenTerminal(root_fd, request.terminal, plan.uid, context.report_fd);
  }
  const ChildFds fds =
      ArrangeFds({slave, request.stdin_fd, request.stdout_fd, request.stderr_fd, root_fd,
                  context.report_fd, context.gate_fd, -1, request.preserved_fds});
  LeaveSession(plan, fds.report);
  if (slave >= 0) TakeTerminal(fds.report);
  FillVector(PlanReader(&plan), plan.env, context.envp);
  const IdentityContext identity = {&plan, fds.report};
  if (const int error = AssumeIdentity(identity); error != 0) {
    Fail(fds.report, kStepCwd, error, PlanReader(&plan).TextAt(plan.cwd));
  }
  umask(plan.umask);
  LoadSeccomp(identity);
  if (fds.gate >= 0) WaitAtGate(fds.gate);
  Exec(identity, request.argv, context.envp);
}

bool HasEnded(int pidfd) {
  pollfd p = {pidfd, POLLIN, 0};
  return poll(&p, 1, 0) > 0;
}

// Between us and the child. -1 = not open.
struct Pipes {
  int report[2] = {-1, -1};
  int gate[2] = {-1, -1};

  int Open(bool with_gate) {
    if (pipe2(report, O_CLOEXEC) != 0) return errno;
    if (!with_gate || pipe2(gate, O_CLOEXEC) == 0) return 0;
    const int error = errno;
    CloseAll();
    return error;
  }
  static void Close(int* fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
  void CloseAll() {
    for (int* pair : {report, gate}) {
      Close(&pair[0]);
      Close(&pair[1]);
    }
  }
};

// Starts the child. The value: its pid, or -errno.
long CloneChild(const ExecContext& context, int* pidfd) {
  clone_args args;
  memset(&args, 0, sizeof args);
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(pidfd);
  args.exit_signal = SIGCHLD;
  if (context.request->cgroup_fd >= 0 && !JoinsCgroupItself(context)) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(context.request->cgroup_fd);
  }
  const unsigned long all = ~0UL;
  unsigned long before = 0;
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) RunExecChild(context);
  if (pid < 0) pid = -errno;
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof before);
  return pid;
}

// The child is born in the container's pid namespace and yet our own child: this process names that
// namespace as the one of its next children, clones, and takes its own one back. No process in
// between is needed, and none that the container could see before its memory is closed to it.
long CloneIntoPidNamespace(const ExecContext& context, int* pidfd) {
  if ((context.plan->flags & kPrivatePidNamespace) == 0) return CloneChild(context, pidfd);
  const int self = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  if (self < 0) return -errno;
  long result = setns(context.request->init_pidfd, CLONE_NEWPID) == 0 ? 0 : -errno;
  if (result == 0) {
    result = CloneChild(context, pidfd);
    if (setns(self, CLONE_NEWPID) != 0) _exit(70);  // no later child may be born in there
    // A pid namespace whose init has ended takes no more processes: ENOMEM, says the kernel.
    if (result == -ENOMEM && HasEnded(context.request->init_pidfd)) result = -ESRCH;
  }
  close(self);
  return result;
}

}  // namespace

int StartExec(const ExecRequest& request, ExecStarted* started) {
  const ProcessPlan* plan = AsProcessPlan(request.plan, request.plan_size);
  if (plan == nullptr) return EINVAL;
  // The child's memory is a copy of ours and it is seen by the container: not dumpable from birth.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return errno;
  Pipes pipes;
  if (const int error = pipes.Open(AsksListener(*plan)); error != 0) return error;
  const size_t slots_size = (plan->env.count + 1) * sizeof(char*);
  void* slots =
      mmap(nullptr, slots_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (slots == MAP_FAILED) {
    const int error = errno;
    pipes.CloseAll();
    return error;
  }
  const ExecContext context = {&request, plan, pipes.report[1], pipes.gate[0],
                               static_cast<char**>(slots)};
  int pidfd = -1;
  const long pid = CloneIntoPidNamespace(context, &pidfd);
  (void)munmap(slots, slots_size);
  if (pid < 0) {
    pipes.CloseAll();
    return static_cast<int>(-pid);
  }
  Pipes::Close(&pipes.report[1]);
  Pipes::Close(&pipes.gate[0]);
  *started = {static_cast<pid_t>(pid), pidfd, pipes.report[0], pipes.gate[1]};
  return 0;
}

}  // namespace berth::shim::child
