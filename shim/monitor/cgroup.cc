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

// Calls `f(pid)` for each pid in cgroup.procs. The count of them.
template <typename F>
int ForEachPid(int dir_fd, F f) {
  const int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[kFileLimit];
  int count = 0;
  size_t had = 0;  // of a number that the last read cut
  for (ssize_t n; (n = read(fd, text + had, sizeof text - 1 - had)) > 0;) {
    text[had + static_cast<size_t>(n)] = '\0';
    char* line = text;
    for (char* end; (end = strchr(line, '\n')) != nullptr; line = end + 1, ++count) {
      *end = '\0';
      const pid_t pid = atoi(line);
      if (pid > 0) f(pid);
    }
    had = strlen(line);
    memmove(text, line, had);
  }
  (void)close(fd);
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

int64_t ReadValue(int dir_fd, const char* name, const char* key) {
  if (dir_fd < 0) return -1;
  const int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  char text[kFileLimit];
  const ssize_t n = read(fd, text, sizeof text - 1);
  (void)close(fd);
  if (n <= 0) return -1;
  text[n] = '\0';
  return FindValue(text, key);
}

bool IsFrozen(const MonitorState& state) {
  if (ReadValue(state.cgroup_v2_fd, "cgroup.events", "frozen") == 1) return true;
  bool has_freezer = false;
  const int group = KillGroupFd(state, &has_freezer);
  if (!has_freezer) return false;
  const int fd = openat(group, "freezer.state", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char text[16];
  const ssize_t n = read(fd, text, sizeof text);
  (void)close(fd);
  return n > 0 && text[0] == 'F';  // FROZEN, FREEZING; else THAWED
}

void ThawV1(const MonitorState& state) {
  bool has_freezer = false;
  const int group = KillGroupFd(state, &has_freezer);
  if (has_freezer) (void)WriteFile(group, "freezer.state", "THAWED");
}

void KillCgroup(const MonitorState& state) {
  bool has_freezer = false;
  const int group = KillGroupFd(state, &has_freezer);
  if (state.cgroup_v2_fd >= 0 && WriteFile(state.cgroup_v2_fd, "cgroup.kill", "1")) {
    // Frozen by v2 a process dies all the same; by v1, beside it, not before it is thawed.
    if (has_freezer) (void)WriteFile(group, "freezer.state", "THAWED");
    return;
  }
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

int ExecParent(const MonitorState& state) {
  if (state.cgroup_v2_fd >= 0) return state.cgroup_v2_fd;
  bool has_freezer = false;
  (void)KillGroupFd(state, &has_freezer);
  // Without a freezer the container is killed by what its first hierarchy lists: all must be there.
  const bool usable = has_freezer && state.cgroup_v1_exec >= 0;
  return usable ? state.cgroup_v1_fds[state.cgroup_v1_exec] : -1;
}

void KillExecGroup(const MonitorState& state, int exec_group_fd) {
  if (WriteFile(exec_group_fd, "cgroup.kill", "1")) return;
  bool has_freezer = false;
  const int freezer = KillGroupFd(state, &has_freezer);
  const bool running = has_freezer && !IsFrozen(state);
  if (running) (void)WriteFile(freezer, "freezer.state", "FROZEN");  // else the caller repeats
  (void)ForEachPid(exec_group_fd, [](pid_t pid) { (void)kill(pid, SIGKILL); });
  if (running) (void)WriteFile(freezer, "freezer.state", "THAWED");
}

bool IsEmptyV1(int group_fd) {
  return ForEachPid(group_fd, [](pid_t) {}) == 0;
}

}  // namespace berth::shim::monitor
