// The container's cgroup as the monitor uses it, by directory fds: kill, empty, OOM, sub-groups of
// execs. Kernel texts: admin-guide/cgroup-v2.rst (cgroup.kill, cgroup.events),
// cgroup-v1/memory.rst, freezer-subsystem.rst. Single-threaded; part of the monitor: no Abseil, no
// heap.
#pragma once

#include <stdint.h>

#include "shim/monitor/state.h"

namespace berth::shim::monitor {

// SIGKILL to everything in the group, sub-groups included. With only v1: freeze, kill, thaw.
void KillCgroup(const MonitorState& state);

// True when no process is left in it. `events_fd`: cgroup.events of the v2 group, or -1.
bool IsCgroupEmpty(const MonitorState& state, int events_fd);

// cgroup.events below `group_fd`: EPOLLPRI when "populated" changes. -1: none.
int OpenEvents(int group_fd);
// Value of "populated" from the beginning of the file; true when it cannot be read.
bool IsPopulated(int events_fd);

// Any OOM kill counted in the group so far.
bool WasOomKilled(const MonitorState& state);

// "exec-<number>" below the container's v2 group.
struct ExecGroup {
  int fd;  // -1: none could be made
  uint32_t number;
};
// Makes one that did not exist, counting up from `*last_number`.
ExecGroup MakeExecGroup(int group_fd, uint32_t* last_number);
// True when it is gone; false when processes are still in it.
bool RemoveExecGroup(int group_fd, uint32_t number);
void KillExecGroup(int exec_group_fd);

}  // namespace berth::shim::monitor
