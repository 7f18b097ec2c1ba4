#include "shim/child/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/child/attributes.h"
#include "shim/child/hooks.h"
#include "shim/child/identity.h"
#include "shim/child/mount_calls.h"
#include "shim/child/mounts.h"
#include "shim/child/report.h"
#include "shim/child/root_path.h"
#include "shim/child/stdio.h"
#include "shim/child/terminal.h"
#include "shim/child/time_namespace.h"

namespace berth::shim::child {
namespace {

void EnterNamespaces(const InitContext& context) {
  const SetupPlan& setup = *context.setup;
  const PlanReader plan(&setup);
  if (setup.user_fd < 0) {  // else the stage before this one did
    JoinNamespaces(setup, context.report_fd);
    if (setup.new_time_namespace != 0) {
      MakeTimeNamespace(setup, OpenTimeOffsets(setup, context.report_fd), context.report_fd);
      EnterTimeNamespace(context.report_fd);
    }
  }
  // The last that needs the /proc of before.
  if (setup.mount_ns_fd >= 0 && setns(setup.mount_ns_fd, CLONE_NEWNS) != 0) {
    Fail(context.report_fd, kStepNamespaces, errno, "join mount namespace");
  }
  // Only now: the namespace's root is the cgroup that its maker is in.
  if (setup.new_cgroup_namespace != 0 && unshare(CLONE_NEWCGROUP) != 0) {
    Fail(context.report_fd, kStepNamespaces, errno, "new cgroup namespace");
  }
  if (setup.hostname != 0) {
    const char* hostname = plan.TextAt(setup.hostname);
    if (sethostname(hostname, strlen(hostname)) != 0) {
      Fail(context.report_fd, kStepHostname, errno, hostname);
    }
  }
  if (setup.domainname != 0) {
    const char* domainname = plan.TextAt(setup.domainname);
    if (setdomainname(domainname, strlen(domainname)) != 0) {
      Fail(context.report_fd, kStepDomainname, errno, domainname);
    }
  }
}

// The root goes onto a directory of its own: pivot_root wants a mount point. In a mount namespace
// that others are in it covers that namespace's root, and nothing there is undone: who runs in
// there keeps its root, who enters later gets this one.
void AttachRoot(const InitContext& context) {
  const SetupPlan& setup = *context.setup;
  const bool joined = setup.mount_ns_fd >= 0;
  const auto check = [&](int result, const char* what) {
    if (result != 0) Fail(context.report_fd, kStepRoot, errno, what);
  };
  const unsigned long recursive = joined ? 0 : MS_REC;
  check(mount(nullptr, "/", nullptr, recursive | MS_PRIVATE, nullptr), "private propagation");
  // A root that is a clone of a shared mount of the host would show what is mounted below it there.
  const uint64_t propagation = setup.root_propagation == MS_SLAVE ? MS_SLAVE : MS_PRIVATE;
  if (const int error = SetAttributes(setup.root_fd, {}, propagation, true); error != 0) {
    Fail(context.report_fd, kStepRoot, -error, "propagation of the root");
  }
  const char* target = joined ? "/" : PlanReader(&setup).TextAt(setup.root_target);
  check(move_mount(setup.root_fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH), target);
}

void PivotRoot(const InitContext& context) {
  const int root_fd = context.setup->root_fd;
  const auto check = [&](long result, const char* what) {
    if (result != 0) Fail(context.report_fd, kStepPivot, errno, what);
  };
  check(fchdir(root_fd), "enter root");
  if (context.setup->mount_ns_fd >= 0) {  // the others' root stays theirs
    check(syscall(SYS_chroot, "."), "change root");
    return;
  }
  // Old and new root on one another, then the old one is dropped (pivot_root(2), NOTES).
  check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
  check(umount2(".", MNT_DETACH), "detach old root");
  check(chdir("/"), "enter new root");
}

void FinishRoot(const InitContext& context) {
  const SetupPlan& setup = *context.setup;
  const uint64_t set = setup.root_readonly != 0 ? MOUNT_ATTR_RDONLY : 0;
  if (set == 0 && setup.root_propagation == 0) return;
  const int error = SetAttributes(setup.root_fd, {set, 0}, setup.root_propagation, false);
  if (error != 0) Fail(context.report_fd, kStepReadonly, -error, "/");
}

// While what holds /dev can be written to. The value: the slave, -1 without a terminal.
int MakeTerminal(const InitContext& context) {
  if (context.terminal.socket < 0) return -1;
  const int root_fd = context.setup->root_fd;
  const int slave =
      OpenTerminal(root_fd, context.terminal, context.process->uid, context.report_fd);
  if (context.setup->bind_console != 0) BindConsole(root_fd, slave, context.report_fd);
  return slave;
}

// Those of the runtime, then those of the container; the host's mounts are still in view.
void RunCreateHooks(const InitContext& context) {
  const SetupPlan& setup = *context.setup;
  if (setup.wait_for_hooks != 0) {
    Report(context.report_fd, kStepRuntimeHooks, 0, "");
    WaitAtGate(context.gate_fd);
  }
  if (setup.create_hooks.count == 0) return;
  const int state_fd = MakeState(setup, setup.creating_tail, context.report_fd);
  RunHooks({&setup, context.hook_slots, state_fd, context.report_fd}, setup.create_hooks);
  close(state_fd);
}

// The value: the slave, -1 without a terminal.
int BuildRoot(const InitContext& context) {
  AttachRoot(context);
  const RootContext root = {context.setup, context.setup->root_fd, context.report_fd};
  MountAll(root);
  MakeDevices(root);
  MakeLinks(root);
  const int slave = MakeTerminal(context);
  RunCreateHooks(context);
  // Its failure is told at start, by the chdir that then fails too.
  const char* cwd = PlanReader(context.process).TextAt(context.process->cwd);
  const int cwd_fd = MakeTarget(root.root_fd, cwd, TargetKind::kDirectory);
  if (cwd_fd >= 0) close(cwd_fd);
  FinishMounts(root);
  SetSysctls(root);
  PivotRoot(context);
  MaskPaths(root);
  ProtectPaths(root);
  FinishRoot(context);
  return slave;
}

}  // namespace

void JoinCgroups(const SetupPlan& setup, int report_fd) {
  const auto* directories = PlanReader(&setup).Elements<int32_t>(setup.cgroup_v1);
  for (uint32_t i = 0; i < setup.cgroup_v1.count; ++i) {
    const int fd = openat(directories[i], "tasks", O_WRONLY | O_CLOEXEC);
    if (fd < 0) Fail(report_fd, kStepCgroup, errno, "tasks");
    JoinTasks(fd, report_fd);
    close(fd);
  }
}

void JoinNamespaces(const SetupPlan& setup, int report_fd) {
  const auto* join = PlanReader(&setup).Elements<JoinPlan>(setup.join);
  for (uint32_t i = 0; i < setup.join.count; ++i) {
    if (setns(join[i].fd, static_cast<int>(join[i].type)) != 0) {
      Fail(report_fd, kStepNamespaces, errno, "join");
    }
  }
}

void RunInitChild(const InitContext& context) {
  const ProcessPlan& process = *context.process;
  ResetSignals();
  umask(0);
  if (context.setup->user_fd < 0) {  // else the stage before this one did
    JoinCgroups(*context.setup, context.report_fd);
    SetOomScore(process.oom_score_adj, context.report_fd);
    SetLabels(process, context.report_fd);
  }
  EnterNamespaces(context);
  const int slave = BuildRoot(context);
  // Now: a filter may forbid later what it takes.
  const SetupPlan& setup = *context.setup;
  const int state_fd =
      setup.start_hooks.count > 0 ? MakeState(setup, setup.created_tail, context.report_fd) : -1;
  const ChildFds fds =
      ArrangeFds({slave, context.stdin_fd, context.stdout_fd, context.stderr_fd, setup.root_fd,
                  context.report_fd, context.gate_fd, state_fd, context.preserved_fds});
  LeaveSession(process, fds.report);
  if (slave >= 0) TakeTerminal(fds.report);
  FillVector(PlanReader(&process), process.args, context.argv);
  FillVector(PlanReader(&process), process.env, context.envp);
  const IdentityContext identity = {&process, fds.report};
  const int cwd_error = AssumeIdentity(identity);
  umask(process.umask);
  // A listener goes to its agent while the container is made; any other filter comes last of all,
  // so that it need not allow what happens here.
  const bool early = AsksListener(process);
  if (early) LoadSeccomp(identity);
  Report(fds.report, kStepReady, 0, "");
  WaitAtGate(fds.gate);
  RunHooks({&setup, context.hook_slots, fds.state, fds.report}, setup.start_hooks);
  if (cwd_error != 0) {
    Fail(fds.report, kStepCwd, cwd_error, PlanReader(&process).TextAt(process.cwd));
  }
  if (!early) LoadSeccomp(identity);
  Exec(identity, context.argv, context.envp);
}

}  // namespace berth::shim::child
