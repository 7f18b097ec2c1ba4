// The container's first process between clone3 and execve. Part of shim/child: no allocation, no
// Abseil, no locks; it walks two plans and reports over a pipe.
//
//   create                              child
//     clone3 ---------------------------> cgroup, namespaces, root, mounts
//       if the runtime has hooks:
//     read report <-- kStepRuntimeHooks -  waits
//     write gate ------------------------> createContainer hooks, pivot, identity
//     read report <-- kStepListener ----  with a filter that notifies: its descriptor, to be taken
//     read report <-- kStepReady -------  stands at the gate
//       (or a ChildFailure)               read gate: one byte = go on, EOF = end
//   monitor
//     write gate ------------------------> startContainer hooks, execve
//     read report <-- ChildFailure / EOF = execve succeeded
#pragma once

#include "shim/child/plan.h"
#include "shim/child/terminal.h"

namespace berth::shim::child {

struct InitContext {
  const ProcessPlan* process;
  const SetupPlan* setup;
  int gate_fd;    // read end
  int report_fd;  // write end
  int stdin_fd;   // -1: the container's /dev/null
  int stdout_fd;
  int stderr_fd;
  TerminalRequest terminal;  // with one the three above are -1
  char** argv;               // args.count + 1 and env.count + 1 slots, laid out by the parent
  char** envp;
  char** hook_slots;  // for the longest args and env of a hook, each with its end
  int preserved_fds;  // descriptors from 3 on that it keeps
};

// The caller of clone3 is not dumpable: until execve the memory here is the shim's, and nothing in
// the container may look at it.
[[noreturn]] void RunInitChild(const InitContext& context);

// The v1 groups of the plan.
void JoinCgroups(const SetupPlan& setup, int report_fd);

// The namespaces of the plan, all but mount, PID and user.
void JoinNamespaces(const SetupPlan& setup, int report_fd);

}  // namespace berth::shim::child
