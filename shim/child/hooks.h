// Hooks that run in the container's namespaces (config.md, "POSIX-platform Hooks"): children of the
// first process, before its pivot_root or just before its execve. Part of shim/child: every
// function ends the process through Fail() when a step fails.
#pragma once

#include "shim/child/plan.h"

namespace berth::shim::child {

// The container's state with this process's pid in it, as a file to be read from its start. The
// value: its descriptor, close-on-exec.
int MakeState(const SetupPlan& setup, Text tail, int report_fd);

struct HookContext {
  const SetupPlan* setup;
  char** slots;  // for the longest args and env of a hook
  int state_fd;  // their standard input
  int report_fd;
};

// One after the other, each in a session of its own. One that fails or takes longer than it may,
// which kills it, ends this process.
void RunHooks(const HookContext& context, Span hooks);

}  // namespace berth::shim::child
