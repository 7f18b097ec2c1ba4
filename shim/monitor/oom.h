// Whose memory limit a container ran into when the kernel killed something in it. Kernel texts:
// admin-guide/cgroup-v2.rst (memory.events, memory.events.local), cgroup-v1/memory.rst (section 10,
// OOM control). Single-threaded; part of the monitor: no Abseil, no heap.
#pragma once

#include <stdint.h>

#include "shim/monitor/state.h"

namespace berth::shim::monitor {

// The numbers are those of the exit record and of the protocol.
enum class OomLevel : uint8_t {
  kNone = 0,       // nothing was killed
  kContainer = 1,  // at the container's own limit, or at one that it set below itself
  kPod = 2,        // at that of the group above, its pod's
  kNode = 3,       // at one above that, or the host had no memory left
};

// What is counted from the beginning of the container on. Zeroed memory is none.
struct OomWatch {
  // v1: eventfds, plus 1, that the kernel signals when a limit of the group or of one above it
  // makes it kill.
  int32_t own_fd_plus_1;
  int32_t pod_fd_plus_1;
  int64_t pod_events;  // v2: how often the pod's own limit was reached before
};

void StartOomWatch(const MonitorState& state, OomWatch* watch);
OomLevel FindOomLevel(const MonitorState& state, const OomWatch& watch);

}  // namespace berth::shim::monitor
