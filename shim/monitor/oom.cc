#include "shim/monitor/oom.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shim/monitor/cgroup.h"
#include "shim/monitor/text.h"

namespace berth::shim::monitor {
namespace {

// No limit, as v1 shows it: LONG_MAX rounded down to a page.
constexpr int64_t kUnlimited = INT64_MAX / 4096 * 4096;
constexpr char kPodEvents[] = "../memory.events.local";

int MemoryV1(const MonitorState& state) {
  if (state.cgroup_v1_memory < 0 || state.cgroup_v1_memory >= state.cgroup_v1_count) return -1;
  return state.cgroup_v1_fds[state.cgroup_v1_memory];
}

// An eventfd for the OOMs of the group whose files have this prefix, plus 1; 0: none to be had.
int WatchV1(int dir_fd, const char* control_file, const char* event_file) {
  const int control = openat(dir_fd, control_file, O_RDONLY | O_CLOEXEC);
  const int events = openat(dir_fd, event_file, O_WRONLY | O_CLOEXEC);
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (control >= 0 && events >= 0 && fd >= 0) {
    char text[48];
    char* end = PutNumber(text, static_cast<uint64_t>(fd));
    end = PutNumber(PutText(end, " "), static_cast<uint64_t>(control));
    if (write(events, text, static_cast<size_t>(end - text)) != end - text) {
      (void)close(fd);
      fd = -1;
    }
  } else if (fd >= 0) {
    (void)close(fd);
    fd = -1;
  }
  if (control >= 0) (void)close(control);
  if (events >= 0) (void)close(events);
  return fd + 1;
}

bool WasSignalled(int fd_plus_1) {
  uint64_t count = 0;
  return fd_plus_1 > 0 && read(fd_plus_1 - 1, &count, sizeof count) == sizeof count;
}

bool PodHasLimitV1(int dir_fd) {
  const int fd = openat(dir_fd, "../memory.limit_in_bytes", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char text[32];
  const ssize_t n = read(fd, text, sizeof text - 1);
  (void)close(fd);
  if (n <= 0) return false;
  text[n] = '\0';
  return atoll(text) < kUnlimited;
}

// The kernel signals the group whose limit was reached and all below it.
OomLevel LevelV1(int dir_fd, const OomWatch& watch) {
  if (WasSignalled(watch.pod_fd_plus_1)) {
    return PodHasLimitV1(dir_fd) ? OomLevel::kPod : OomLevel::kNode;
  }
  return WasSignalled(watch.own_fd_plus_1) ? OomLevel::kContainer : OomLevel::kNode;
}

}  // namespace

void StartOomWatch(const MonitorState& state, OomWatch* watch) {
  if (const int v1 = MemoryV1(state); v1 >= 0) {
    watch->own_fd_plus_1 = WatchV1(v1, "memory.oom_control", "cgroup.event_control");
    watch->pod_fd_plus_1 = WatchV1(v1, "../memory.oom_control", "../cgroup.event_control");
  } else if (state.cgroup_v2_fd >= 0) {
    watch->pod_events = ReadValue(state.cgroup_v2_fd, kPodEvents, "oom");
  }
}

OomLevel FindOomLevel(const MonitorState& state, const OomWatch& watch) {
  if (const int v1 = MemoryV1(state); v1 >= 0) {
    if (ReadValue(v1, "memory.oom_control", "oom_kill") <= 0) return OomLevel::kNone;
    return LevelV1(v1, watch);
  }
  const int v2 = state.cgroup_v2_fd;
  if (v2 < 0 || ReadValue(v2, "memory.events", "oom_kill") <= 0) return OomLevel::kNone;
  if (ReadValue(v2, "memory.events", "oom") > 0) return OomLevel::kContainer;
  // Of the pod alone: what its other containers reach at their own limits is not in it.
  return ReadValue(v2, kPodEvents, "oom") > watch.pod_events ? OomLevel::kPod : OomLevel::kNode;
}

}  // namespace berth::shim::monitor
