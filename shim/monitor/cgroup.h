// The container's cgroup as the monitor uses it, by directory fds: kill, empty, frozen, sub-groups
// of execs. Kernel texts: admin-guide/cgroup-v2.rst (cgroup.kill, cgroup.events),
// cgroup-v1/memory.rst, freezer-subsystem.rst. Single-threaded; part of the monitor: no Abseil, no
// heap.
#pragma once

#include <stdint.h>

#include "shim/monitor/state.h"

namespace berth::shim::monitor {

// SIGKILL to everything in the group, sub-groups included, frozen or not. With only v1: freeze,
// kill, thaw.
void KillCgroup(const MonitorState& state);

// True when no process is left in it. `events_fd`: cgroup.events of the v2 group, or -1.
bool IsCgroupEmpty(const MonitorState& state, int events_fd);

// cgroup.events below `group_fd`: EPOLLPRI when "populated" changes. -1: none.
int OpenEvents(int group_fd);
// Value of "populated" from the beginning of the file; true when it cannot be read.
bool IsPopulated(int events_fd);

// True when the container is paused: by its own freezer or by one above it, of either version.
bool IsFrozen(const MonitorState& state);
// Lets go what the v1 freezer holds: SIGKILL does not reach it there.
void ThawV1(const MonitorState& state);

// The number behind `key` in a file of the group; -1 when there is none.
int64_t ReadValue(int dir_fd, const char* name, const char* key);

// Where groups of execs are made: the container's v2 group, or on pure v1 its group in one
// hierarchy. -1: nowhere.
int ExecParent(const MonitorState& state);
// "exec-<number>" below it.
struct ExecGroup {
  int fd;  // -1: none could be made
  uint32_t number;
};
// Makes one that did not exist, counting up from `*last_number`.
ExecGroup MakeExecGroup(int group_fd, uint32_t* last_number);
// True when it is gone; false when processes are still in it.
bool RemoveExecGroup(int group_fd, uint32_t number);
// SIGKILL to all in it. On v1 the whole container stands still for a moment, and the caller
// repeats.
void KillExecGroup(const MonitorState& state, int exec_group_fd);
// True when the v1 group holds no process.
bool IsEmptyV1(int group_fd);

}  // namespace berth::shim::monitor
