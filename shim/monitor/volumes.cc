#include "shim/monitor/volumes.h"

#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/types.h>
#include <unistd.h>

namespace berth::shim::monitor {
namespace {

constexpr size_t kTableLimit = 64 << 10;  // of one round
constexpr int kMaxRounds = 1000;
// Used once, at the end.
char g_table[kTableLimit];

// proc(5): blanks, tabs, newlines and backslashes are \ and three octal digits.
void DecodeOctal(char* text) {
  char* out = text;
  for (char* p = text; *p != '\0'; ++p) {
    if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' &&
        p[3] <= '7') {
      *out++ = static_cast<char>((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
      p += 3;
    } else {
      *out++ = *p;
    }
  }
  *out = '\0';
}

// Whole lines from the beginning of the table, at most kTableLimit bytes of them.
bool ReadTable(int mountinfo_fd) {
  if (lseek(mountinfo_fd, 0, SEEK_SET) != 0) return false;
  size_t size = 0;
  while (size < sizeof g_table - 1) {
    const ssize_t n = read(mountinfo_fd, g_table + size, sizeof g_table - 1 - size);
    if (n <= 0) break;
    size += static_cast<size_t>(n);
  }
  g_table[size] = '\0';
  char* last = strrchr(g_table, '\n');
  if (last == nullptr) return false;
  *last = '\0';
  return true;
}

int UnmountAll(int mountinfo_fd) {
  int failed = 0;
  for (int round = 0; round < kMaxRounds && ReadTable(mountinfo_fd); ++round) {
    int done = 0;
    failed = 0;
    while (const char* target = TakeLastMountPoint(g_table)) {
      // What was below an unmounted one is gone with it and fails here; the next round tells.
      umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 ? ++done : ++failed;
    }
    if (done == 0) break;
  }
  return failed;
}

}  // namespace

char* TakeLastMountPoint(char* text) {
  while (*text != '\0') {
    char* line = strrchr(text, '\n');
    char* cut = line == nullptr ? text : line;
    char* field = line == nullptr ? text : line + 1;
    // "36 35 98:0 /root /mount/point options ...": the fifth field.
    for (int i = 0; i < 4 && field != nullptr; ++i) {
      field = strchr(field, ' ');
      if (field != nullptr) ++field;
    }
    char* end = field == nullptr ? nullptr : strchr(field, ' ');
    *cut = '\0';
    if (end == nullptr) continue;
    *end = '\0';
    DecodeOctal(field);
    if (strcmp(field, "/") != 0) return field;
  }
  return nullptr;
}

int DetachVolumes(int mount_ns_fd, int mountinfo_fd, int own_mount_ns_fd) {
  if (setns(mount_ns_fd, CLONE_NEWNS) != 0) return -1;
  int left = -1;
  // Out of every peer group first: an unmount on a shared volume would reach the host's copy.
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0) {
    left = UnmountAll(mountinfo_fd);
  }
  // Failing leaves this process in the namespace until it ends, which is next.
  (void)setns(own_mount_ns_fd, CLONE_NEWNS);
  return left;
}

}  // namespace berth::shim::monitor
