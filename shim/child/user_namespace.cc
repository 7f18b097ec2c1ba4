#include "shim/child/user_namespace.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/child/attributes.h"
#include "shim/child/identity.h"
#include "shim/child/report.h"
#include "shim/child/time_namespace.h"

namespace berth::shim::child {
namespace {

// What prlimit64 takes.
struct KernelRlimit {
  uint64_t soft;
  uint64_t hard;
};

}  // namespace

void RaiseHardLimits(const ProcessPlan& plan, int report_fd) {
  const auto* limits = PlanReader(&plan).Elements<RlimitEntry>(plan.rlimits);
  for (uint32_t i = 0; i < plan.rlimits.count; ++i) {
    KernelRlimit now;
    long result = syscall(SYS_prlimit64, 0, limits[i].resource, nullptr, &now);
    if (result == 0 && now.hard < limits[i].hard) {
      now.hard = limits[i].hard;
      result = syscall(SYS_prlimit64, 0, limits[i].resource, &now, nullptr);
    }
    if (result == 0) continue;
    Words detail;
    detail.Add("resource ").AddNumber(limits[i].resource);
    detail.Add(" hard ").AddNumber(limits[i].hard);
    Fail(report_fd, kStepRlimit, errno, detail.c_str());
  }
}

void BecomeNamespaceRoot(int report_fd) {
  const auto check = [&](long result, const char* what) {
    if (result != 0) Fail(report_fd, kStepUser, errno, what);
  };
  check(syscall(SYS_setgroups, 0, nullptr), "groups of the user namespace's root");
  check(syscall(SYS_setresgid, 0, 0, 0), "gid of the user namespace's root");
  check(syscall(SYS_setresuid, 0, 0, 0), "uid of the user namespace's root");
  // A change of uid makes it what fs.suid_dumpable says.
  check(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable");
}

void RunUserStage(const UserStage& stage) {
  const InitContext& init = *stage.init;
  const SetupPlan& setup = *init.setup;
  const auto enter = [&](int fd, int type, const char* what) {
    if (setns(fd, type) != 0) Fail(init.report_fd, kStepNamespaces, errno, what);
  };
  ResetSignals();
  umask(0);
  // All that the host's files and limits ask the host's privileges for; a child inherits each.
  JoinCgroups(setup, init.report_fd);
  SetOomScore(init.process->oom_score_adj, init.report_fd);
  SetLabels(*init.process, init.report_fd);
  SetScheduling(*init.process, SchedulingCaller::kParent, init.report_fd);
  RaiseHardLimits(*init.process, init.report_fd);
  // They may belong to the host's user namespace: nobody inside the container's could join them.
  JoinNamespaces(setup, init.report_fd);
  const int offsets_fd =
      setup.new_time_namespace != 0 ? OpenTimeOffsets(setup, init.report_fd) : -1;
  if (setup.pid_fd >= 0) enter(setup.pid_fd, CLONE_NEWPID, "join the pod's PID namespace");
  enter(setup.user_fd, CLONE_NEWUSER, "join the user namespace");
  BecomeNamespaceRoot(init.report_fd);
  if (setup.new_time_namespace != 0) MakeTimeNamespace(setup, offsets_fd, init.report_fd);
  clone_args args;
  memset(&args, 0, sizeof args);
  args.flags = stage.namespaces | CLONE_PARENT;
  const long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) RunInitChild(init);
  if (pid < 0) Fail(init.report_fd, kStepNamespaces, errno, "clone in the user namespace");
  *stage.pid = static_cast<int32_t>(pid);
  _exit(0);
}

}  // namespace berth::shim::child
