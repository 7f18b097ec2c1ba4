// Who the process is and what it may do: the last steps before execve, the same for a container's
// first process and for an exec. Part of shim/child.
#pragma once

#include "shim/child/plan.h"

namespace berth::shim::child {

struct IdentityContext {
  const ProcessPlan* plan;
  int report_fd;
};

// rlimits, scheduling, memory policy, personality, stdio ownership, groups, ids, capabilities,
// working directory, no_new_privs. The value: 0, or the errno with which the working directory
// could not be entered; every other failure ends the process.
int AssumeIdentity(const IdentityContext& context);

// The filter of the plan asks an agent, whom its listener must reach.
bool AsksListener(const ProcessPlan& plan);

// The last step before execve. With a listener, kStepListener is reported, and nothing else is
// called on the way there: until the agent has the listener nobody could answer.
void LoadSeccomp(const IdentityContext& context);

// Points the slots at the plan's texts, NULL-terminated.
void FillVector(PlanReader plan, Span texts, char** slots);

// execve with the search path of the plan; ends the process with a report when that fails.
[[noreturn]] void Exec(const IdentityContext& context, char* const* argv, char* const* envp);

// New session and, unless kSameKeyring, an anonymous session keyring: nothing of the daemon's login
// is inherited.
void LeaveSession(const ProcessPlan& plan, int report_fd);

// "0" into a v1 `tasks` file moves the writer without a lock on the thread group.
void JoinTasks(int tasks_fd, int report_fd);

// A pipe gets `uid` as owner, or a program could not open /dev/stderr. Devices keep theirs; -1 is
// passed over.
void OwnPipe(int fd, uint32_t uid, int report_fd);

// /proc must be one that shows this process.
void SetOomScore(int value, int report_fd);

}  // namespace berth::shim::child
