#include "shim/child/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/child/attributes.h"
#include "shim/child/report.h"

namespace berth::shim::child {
namespace {

constexpr uint64_t kSysAdmin = uint64_t{1} << CAP_SYS_ADMIN;

// What prlimit64 takes.
struct KernelRlimit {
  uint64_t soft;
  uint64_t hard;
};

void SetRlimits(const IdentityContext& context) {
  const auto* limits = PlanReader(context.plan).Elements<RlimitEntry>(context.plan->rlimits);
  for (uint32_t i = 0; i < context.plan->rlimits.count; ++i) {
    const KernelRlimit limit = {limits[i].soft, limits[i].hard};
    if (syscall(SYS_prlimit64, 0, limits[i].resource, &limit, nullptr) != 0) {
      Words detail;
      detail.Add("resource ").AddNumber(limits[i].resource);
      detail.Add(" soft ").AddNumber(limits[i].soft).Add(" hard ").AddNumber(limits[i].hard);
      Fail(context.report_fd, kStepRlimit, errno, detail.c_str());
    }
  }
}

// In a user namespace that took the host's privileges: it is done by now.
void ChownStdio(const IdentityContext& context) {
  if (context.plan->uid == 0 || (context.plan->flags & kUserNamespace) != 0) return;
  for (int fd = 0; fd <= 2; ++fd) OwnPipe(fd, context.plan->uid, context.report_fd);
}

int SetCapabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {
      {static_cast<uint32_t>(effective), static_cast<uint32_t>(permitted),
       static_cast<uint32_t>(inheritable)},
      {static_cast<uint32_t>(effective >> 32), static_cast<uint32_t>(permitted >> 32),
       static_cast<uint32_t>(inheritable >> 32)}};
  return syscall(SYS_capset, &header, data) == 0 ? 0 : errno;
}

void DropBounding(const IdentityContext& context) {
  for (unsigned cap = 0; cap < 64; ++cap) {
    if (((context.plan->bounding >> cap) & 1) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) return;  // past the last one that this kernel has
    Fail(context.report_fd, kStepCapabilities, errno, "bounding set");
  }
}

// The permitted set outlives the change of uid until capset says what stays.
void SetUser(const IdentityContext& context) {
  const ProcessPlan& plan = *context.plan;
  const auto check = [&](long result, const char* what) {
    if (result != 0) Fail(context.report_fd, kStepUser, errno, what);
  };
  check(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "keep capabilities");
  // System calls, not libc's functions, which signal the other threads that there are none of.
  check(syscall(SYS_setgroups, plan.groups.count, PlanReader(&plan).Elements<gid_t>(plan.groups)),
        "groups");
  check(syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid), "gid");
  check(syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid), "uid");
  // Where fs.suid_dumpable is 1 the change has opened this memory to processes of the same user.
  check(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "become undumpable");
}

// Without no_new_privs a filter takes CAP_SYS_ADMIN. It is permitted until execve, which makes the
// permitted set anew, from the bounding, the inheritable and the ambient one.
uint64_t PermittedUntilExec(const ProcessPlan& plan) {
  const bool needs = plan.seccomp.count != 0 && (plan.flags & kNoNewPrivs) == 0;
  return plan.permitted | (needs ? kSysAdmin : 0);
}

void SetFinalCapabilities(const IdentityContext& context) {
  const ProcessPlan& plan = *context.plan;
  const int error = SetCapabilities(plan.effective, PermittedUntilExec(plan), plan.inheritable);
  if (error != 0) Fail(context.report_fd, kStepCapabilities, error, "capset");
  if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) {
    Fail(context.report_fd, kStepCapabilities, errno, "keep capabilities");
  }
  for (unsigned cap = 0; cap < 64; ++cap) {
    if (((plan.ambient >> cap) & 1) == 0) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0) {
      Fail(context.report_fd, kStepCapabilities, errno, "ambient set");
    }
  }
}

// 0, or errno. The path that the kernel gives for the new directory must be inside the root
// (a leaked descriptor could lead out of it: CVE-2024-21626).
int EnterCwd(const ProcessPlan& plan) {
  if (chdir(PlanReader(&plan).TextAt(plan.cwd)) != 0) return errno;
  char path[PATH_MAX];
  const long n = syscall(SYS_getcwd, path, sizeof path);
  if (n < 0) return errno;
  return path[0] == '/' ? 0 : EXDEV;
}

bool IsDenied(int error) { return error == EACCES || error == EPERM; }

}  // namespace

int AssumeIdentity(const IdentityContext& context) {
  const ProcessPlan& plan = *context.plan;
  SetRlimits(context);
  SetProcessAttributes(plan, context.report_fd);
  ChownStdio(context);
  // Before the change of user: images may have a working directory that their user cannot search
  // (WORKDIR /root, USER 1000), and such containers run elsewhere too. Where root is refused (a
  // root-squashing NFS) the user gets a try of its own below.
  int cwd_error = EnterCwd(plan);
  DropBounding(context);
  SetUser(context);
  SetFinalCapabilities(context);
  if (IsDenied(cwd_error)) cwd_error = EnterCwd(plan);
  if ((plan.flags & kNoNewPrivs) != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    Fail(context.report_fd, kStepNoNewPrivs, errno, "");
  }
  return cwd_error;
}

bool AsksListener(const ProcessPlan& plan) {
  return plan.seccomp.count != 0 && (plan.seccomp_flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0;
}

void LoadSeccomp(const IdentityContext& context) {
  const ProcessPlan& plan = *context.plan;
  const Span filter = plan.seccomp;
  if (filter.count == 0) return;
  const uint64_t permitted = PermittedUntilExec(plan);
  if ((plan.flags & kNoNewPrivs) == 0) {
    const int error = SetCapabilities(plan.effective | kSysAdmin, permitted, plan.inheritable);
    if (error != 0) Fail(context.report_fd, kStepCapabilities, error, "capset before seccomp");
  }
  sock_fprog program;
  program.len = static_cast<unsigned short>(filter.count);
  program.filter = const_cast<sock_filter*>(PlanReader(&plan).Elements<sock_filter>(filter));
  const long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, plan.seccomp_flags, &program);
  if (result < 0) Fail(context.report_fd, kStepSeccomp, errno, "filter");
  if (AsksListener(plan)) {
    Report(context.report_fd, kStepListener, static_cast<int>(result), "");
  }
}

void FillVector(PlanReader plan, Span texts, char** slots) {
  const auto* offsets = plan.Elements<Text>(texts);
  for (uint32_t i = 0; i < texts.count; ++i) {
    slots[i] = const_cast<char*>(plan.TextAt(offsets[i]));
  }
  slots[texts.count] = nullptr;
}

void Exec(const IdentityContext& context, char* const* argv, char* const* envp) {
  const char* name = argv[0];
  const size_t name_size = strlen(name);
  if (name[0] == '\0') Fail(context.report_fd, kStepExec, ENOENT, name);
  if (strchr(name, '/') != nullptr) {
    (void)execve(name, argv, envp);
    Fail(context.report_fd, kStepExec, errno, name);
  }
  int error = ENOENT;
  const char* entry = PlanReader(context.plan).TextAt(context.plan->search_path);
  while (true) {
    const size_t size = strcspn(entry, ":");
    char path[PATH_MAX];
    if (size + 1 + name_size < sizeof path) {
      // An empty entry is the working directory, as execvp(3) has it.
      memcpy(path, entry, size);
      path[size] = '/';
      memcpy(path + size + (size > 0 ? 1 : 0), name, name_size + 1);
      (void)execve(path, argv, envp);
      if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) {
        Fail(context.report_fd, kStepExec, errno, path);
      }
      if (errno == EACCES) error = EACCES;
    }
    if (entry[size] == '\0') break;
    entry += size + 1;
  }
  Fail(context.report_fd, kStepExec, error, name);
}

void LeaveSession(const ProcessPlan& plan, int report_fd) {
  if (setsid() < 0 && errno != EPERM) Fail(report_fd, kStepSession, errno, "setsid");
  if ((plan.flags & kSameKeyring) != 0) return;
  if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0 && errno != ENOSYS) {
    Fail(report_fd, kStepSession, errno, "session keyring");
  }
}

void JoinTasks(int tasks_fd, int report_fd) {
  if (write(tasks_fd, "0", 1) != 1) Fail(report_fd, kStepCgroup, errno, "tasks");
}

void OwnPipe(int fd, uint32_t uid, int report_fd) {
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0 || !S_ISFIFO(st.st_mode)) return;
  if (fchown(fd, uid, static_cast<gid_t>(-1)) != 0) Fail(report_fd, kStepStdio, errno, "own pipe");
}

void SetOomScore(int value, int report_fd) {
  Words text;
  if (value < 0) text.Add("-");
  text.AddNumber(static_cast<uint64_t>(value < 0 ? -value : value));
  const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text.c_str(), text.size()) < 0) {
    Fail(report_fd, kStepOomScore, errno, text.c_str());
  }
  close(fd);
}

}  // namespace berth::shim::child
