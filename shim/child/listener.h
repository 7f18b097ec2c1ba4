// The way of a seccomp listener from the process that has it to the agent that answers (OCI runtime
// specification, config-linux.md, "listenerPath" and "The Container Process State"). The parent's
// side: called by the create stage, the monitor and berth-oci, never in a child. Part of
// shim/child: no Abseil, no allocation.
#pragma once

#include <sys/types.h>

namespace berth::shim::child {

struct ListenerHandover {
  int agent_dir_fd;         // the directory that the agent's socket lies in
  const char* socket_path;  // its last component is the name there
  // The process state, JSON, up to `"state": {..., "pid":`, which must come last in both objects.
  const char* state;
  pid_t init_pid;  // the container's first process
  pid_t pid;       // whose listener it is
  int pidfd;       // of that one
  int listener;    // the descriptor's number in it, from kStepListener
};

// Takes the listener, connects, sends one process state with it, closes. 0, or an errno with *step
// ("take listener", "connect to agent", "send to agent"). Waits at most two seconds for the agent
// to accept. Needs CAP_SYS_PTRACE, since the process is not dumpable.
int HandOverListener(const ListenerHandover& handover, const char** step);

}  // namespace berth::shim::child
