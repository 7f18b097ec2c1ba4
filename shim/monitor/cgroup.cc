#include "shim/monitor/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

namespace berth::shim::monitor {
namespace {

// Kernel files of the group; what matters stands within the first bytes.
constexpr size_t kFileLimit = 4096;

bool WriteFile(int dir_fd, const char* name, const char* text) {
  const int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t size = static_cast<ssize_t>(strlen(text));
  const bool ok = write(fd, text, size) == size;
  (void)close(fd);
  return ok;
}

// Value of the line "<key> <number>"; -1 when it is not there.
int64_t FindValue(const char* text, const char* key) {
  const size_t size = strlen(key);
  for (const char* line = text; line != nullptr && *line != '\0';) {
    if (strncmp(line, key, size) == 0 && line[size] == ' ') return atoll(line + size + 1);
    line = strchr(line, '\n');
    if (line != nullptr) ++line;
  }
  return -1;
}

int64_t ReadValue(int dir_fd, const char* name, const char* key) {
  const int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  char text[kFileLimit];
  const ssize_t n = read(fd, text, sizeof text - 1);
  (void)close(fd);
  if (n <= 0) return -1;
  text[n] = '\0';
  return FindValue(text, key);
}

// Calls `f(pid)` for each pid that cgroup.procs names in its first 4 KiB; callers repeat. The
// count of them.
template <typename F>
int ForEachPid(int dir_fd, F f) {
  const int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[kFileLimit];
  int count = 0;
  const ssize_t n = read(fd, text, sizeof text - 1);
  (void)close(fd);
  if (n <= 0) return 0;
  text[n] = '\0';
  for (char* line = text; *line != '\0'; ++count) {
    char* end = strchr(line, '\n');
    if (end == nullptr) break;  // cut in the middle of a number
    *end = '\0';
    const pid_t pid = atoi(line);
    if (pid > 0) f(pid);
    line = end + 1;
  }
  return count;
}

// A hierarchy of v1 in which the group's processes are found: the freezer's, so that none can fork
// away between the look and the kill.
int KillGroupFd(const MonitorState& state, bool* has_freezer) {
  for (int i = 0; i < state.cgroup_v1_count; ++i) {
    if (faccessat(state.cgroup_v1_fds[i], "freezer.state", W_OK, 0) == 0) {
      *has_freezer = true;
      return state.cgroup_v1_fds[i];
    }
  }
  *has_freezer = false;
  return state.cgroup_v1_count > 0 ? state.cgroup_v1_fds[0] : -1;
}

void ExecGroupName(uint32_t number, char (&name)[16]) {
  char digits[10];
  int n = 0;
  do {
    digits[n++] = static_cast<char>('0' + number % 10);
  } while ((number /= 10) != 0);
  memcpy(name, "exec-", 5);
  for (int i = 0; i < n; ++i) name[5 + i] = digits[n - 1 - i];
  name[5 + n] = '\0';
}

}  // namespace

void KillCgroup(const MonitorState& state) {
  if (state.cgroup_v2_fd >= 0 && WriteFile(state.cgroup_v2_fd, "cgroup.kill", "1")) return;
  bool has_freezer = false;
  const int group = KillGroupFd(state, &has_freezer);
  if (group < 0) return;
  if (has_freezer) (void)WriteFile(group, "freezer.state", "FROZEN");  // else the caller repeats
  (void)ForEachPid(group, [](pid_t pid) { (void)kill(pid, SIGKILL); });
  if (has_freezer) (void)WriteFile(group, "freezer.state", "THAWED");
}

bool IsCgroupEmpty(const MonitorState& state, int events_fd) {
  if (events_fd >= 0) return !IsPopulated(events_fd);
  bool has_freezer = false;
  const int group = KillGroupFd(state, &has_freezer);
  return group < 0 || ForEachPid(group, [](pid_t) {}) == 0;
}

int OpenEvents(int group_fd) {
  return group_fd < 0 ? -1 : openat(group_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
}

bool IsPopulated(int events_fd) {
  char text[256];
  const ssize_t n = pread(events_fd, text, sizeof text - 1, 0);
  // ENODEV: the group was removed under us, so it was empty.
  if (n < 0) return errno != ENODEV;
  text[n] = '\0';
  return FindValue(text, "populated") != 0;
}

bool WasOomKilled(const MonitorState& state) {
  if (state.cgroup_v1_memory >= 0 && state.cgroup_v1_memory < state.cgroup_v1_count) {
    const int group = state.cgroup_v1_fds[state.cgroup_v1_memory];
    return ReadValue(group, "memory.oom_control", "oom_kill") > 0;
  }
  return state.cgroup_v2_fd >= 0 && ReadValue(state.cgroup_v2_fd, "memory.events", "oom_kill") > 0;
}

ExecGroup MakeExecGroup(int group_fd, uint32_t* last_number) {
  char name[16];
  for (int attempt = 0; group_fd >= 0 && attempt < 16; ++attempt) {
    const uint32_t number = ++*last_number;
    ExecGroupName(number, name);
    // A container with a writable cgroup may have taken the name.
    if (mkdirat(group_fd, name, 0755) != 0) {
      if (errno == EEXIST) continue;
      break;
    }
    const int fd = openat(group_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) return {fd, number};
    (void)unlinkat(group_fd, name, AT_REMOVEDIR);  // empty: just made
    break;
  }
  return {-1, 0};
}

bool RemoveExecGroup(int group_fd, uint32_t number) {
  char name[16];
  ExecGroupName(number, name);
  return unlinkat(group_fd, name, AT_REMOVEDIR) == 0 || errno != EBUSY;
}

void KillExecGroup(int exec_group_fd) { (void)WriteFile(exec_group_fd, "cgroup.kill", "1"); }

}  // namespace berth::shim::monitor
