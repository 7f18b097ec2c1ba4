// How a process is scheduled, labelled and where its memory comes from: system calls on the process
// that makes them, kept across execve. Part of shim/child: a failure ends the process with a
// report.
#pragma once

#include "shim/child/plan.h"

namespace berth::shim::child {

// AppArmor profile and SELinux label for the coming execve (config.md, "Linux Process"). /proc must
// be the host's own: a container's may be no procfs at all (CVE-2019-16884).
void SetLabels(const ProcessPlan& plan, int report_fd);

enum class SchedulingCaller {
  kProcess,  // who is scheduled so
  kParent,   // a fork follows: SCHED_FLAG_RESET_ON_FORK is left to the child
};
// Scheduler and I/O priority: both ask for the host's CAP_SYS_NICE.
void SetScheduling(const ProcessPlan& plan, SchedulingCaller caller, int report_fd);

// Memory policy and personality; what SetScheduling left to the child of kParent.
void SetProcessAttributes(const ProcessPlan& plan, int report_fd);

// `cpus`: uint64_t words of the plan. Nothing when it is empty.
void SetAffinity(const ProcessPlan& plan, Span cpus, int report_fd);

}  // namespace berth::shim::child
