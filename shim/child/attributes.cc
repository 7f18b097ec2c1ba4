#include "shim/child/attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/child/report.h"

namespace berth::shim::child {
namespace {

constexpr uint64_t kResetOnFork = 1;  // SCHED_FLAG_RESET_ON_FORK

// 0 or errno. The kernel takes a label in one write, by the credentials that opened the file.
int WriteAttribute(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = write(fd, text, strlen(text)) < 0 ? errno : 0;
  close(fd);
  return error;
}

void ApplyScheduler(const ProcessPlan& plan, uint64_t without_flags, int report_fd) {
  SchedulerEntry entry = *PlanReader(&plan).Elements<SchedulerEntry>(plan.scheduler);
  entry.flags &= ~without_flags;
  if (syscall(SYS_sched_setattr, 0, &entry, 0) != 0) {
    Words detail;
    detail.Add("policy ").AddNumber(entry.policy).Add(" priority ").AddNumber(entry.priority);
    Fail(report_fd, kStepScheduler, errno, detail.c_str());
  }
}

}  // namespace

void SetLabels(const ProcessPlan& plan, int report_fd) {
  const PlanReader reader(&plan);
  if (plan.apparmor != 0) {
    const char* text = reader.TextAt(plan.apparmor);
    int error = WriteAttribute("/proc/self/attr/apparmor/exec", text);
    // Before Linux 5.8 the only module that uses the file has no directory of its own.
    if (error == ENOENT && access("/proc/self/attr/apparmor", F_OK) != 0) {
      error = WriteAttribute("/proc/self/attr/exec", text);
    }
    if (error != 0) Fail(report_fd, kStepLabel, error, text);
  }
  if (plan.selinux != 0) {
    const char* label = reader.TextAt(plan.selinux);
    int error = WriteAttribute("/proc/self/attr/exec", label);
    // The session keyring to come is the container's.
    if (error == 0) error = WriteAttribute("/proc/self/attr/keycreate", label);
    if (error != 0) Fail(report_fd, kStepLabel, error, label);
  }
}

void SetScheduling(const ProcessPlan& plan, SchedulingCaller caller, int report_fd) {
  if (plan.scheduler.count != 0) {
    ApplyScheduler(plan, caller == SchedulingCaller::kParent ? kResetOnFork : 0, report_fd);
  }
  if (plan.io_priority != kUnchanged &&
      syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, plan.io_priority) != 0) {
    Fail(report_fd, kStepIoPriority, errno, "");
  }
}

void SetProcessAttributes(const ProcessPlan& plan, int report_fd) {
  const PlanReader reader(&plan);
  if ((plan.flags & kUserNamespace) != 0) {
    // The same again with the flag needs no privilege.
    if (plan.scheduler.count != 0 &&
        (reader.Elements<SchedulerEntry>(plan.scheduler)->flags & kResetOnFork) != 0) {
      ApplyScheduler(plan, 0, report_fd);
    }
  } else {
    SetScheduling(plan, SchedulingCaller::kProcess, report_fd);
  }
  if (plan.memory_policy != kUnchanged) {
    const uint64_t* nodes =
        plan.memory_nodes.count == 0 ? nullptr : reader.Elements<uint64_t>(plan.memory_nodes);
    // The kernel reads one bit less than it is told.
    const uint64_t bits = nodes == nullptr ? 0 : uint64_t{64} * plan.memory_nodes.count + 1;
    if (syscall(SYS_set_mempolicy, plan.memory_policy, nodes, bits) != 0) {
      Fail(report_fd, kStepMemoryPolicy, errno, "");
    }
  }
  if (plan.personality != kUnchanged && syscall(SYS_personality, plan.personality) < 0) {
    Fail(report_fd, kStepPersonality, errno, "");
  }
}

void SetAffinity(const ProcessPlan& plan, Span cpus, int report_fd) {
  if (cpus.count == 0) return;
  const uint64_t* mask = PlanReader(&plan).Elements<uint64_t>(cpus);
  if (syscall(SYS_sched_setaffinity, 0, cpus.count * sizeof *mask, mask) != 0) {
    Fail(report_fd, kStepAffinity, errno, "");
  }
}

}  // namespace berth::shim::child
