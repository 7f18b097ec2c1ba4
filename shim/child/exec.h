// Entering a running container: what the monitor calls for an exec. Part of shim/child: the parent
// side lays out memory, the child side only makes system calls. No Abseil, no allocation that the
// child would see. Single-threaded caller.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shim/child/terminal.h"

namespace berth::shim::child {

// What a child reports when a step fails; EOF on the pipe instead means that execve succeeded.
struct ChildFailure {
  uint32_t step;     // ChildStep of shim/child/plan.h
  int32_t error;     // errno
  char detail[248];  // object of the step: a path, a name; NUL-terminated
};

struct ExecRequest {
  const void* plan;  // mapped process.plan
  size_t plan_size;
  char* const* argv;  // NULL-terminated; replaces the plan's
  int stdin_fd;       // -1: /dev/null
  int stdout_fd;
  int stderr_fd;
  TerminalRequest terminal;  // with one the three above are not used
  int init_pidfd;            // whose namespaces are joined
  const int* tasks_fds;      // v1 `tasks` files, write "0"
  int tasks_count;
  int cgroup_fd;      // v2 directory for CLONE_INTO_CGROUP, -1 = none
  int preserved_fds;  // descriptors from 3 on that it keeps
};

struct ExecStarted {
  pid_t pid;  // a direct child of the caller, inside the container's pid namespace
  int pidfd;
  int report_fd;  // ChildFailure or EOF
  // -1, or write one byte: the filter of the plan asks an agent. The report pipe says kStepListener
  // first; once HandOverListener has done its work, the process may go on.
  int gate_fd;
};

// 0, or an errno when nothing was started.
int StartExec(const ExecRequest& request, ExecStarted* started);

// English name of a step: "enter namespaces", "exec".
const char* StepName(uint32_t step);

}  // namespace berth::shim::child
