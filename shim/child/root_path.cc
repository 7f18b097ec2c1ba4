#include "shim/child/root_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace berth::shim::child {
namespace {

constexpr int kMaxLinks = 40;    // as the kernel's own limit
constexpr int kMaxRetries = 64;  // EAGAIN: a rename raced with ".."

// Puts `link` in the place of the component [start, end) of `path` (a buffer of PATH_MAX).
int ReplaceComponent(char* path, size_t start, size_t end, const char* link) {
  char result[PATH_MAX];
  const size_t link_size = strlen(link);
  const size_t rest_size = strlen(path + end);
  const size_t keep = link[0] == '/' ? 0 : start;
  if (keep + link_size + rest_size >= PATH_MAX) return -ENAMETOOLONG;
  memcpy(result, path, keep);
  // NOLINTNEXTLINE(bugprone-not-null-terminated-result): the rest and its NUL follow
  memcpy(result + keep, link, link_size);
  memcpy(result + keep + link_size, path + end, rest_size + 1);
  memcpy(path, result, keep + link_size + rest_size + 1);
  return 0;
}

int MakeEntry(int parent_fd, const char* name, TargetKind kind) {
  const int result = kind == TargetKind::kDirectory ? mkdirat(parent_fd, name, 0755)
                                                    : mknodat(parent_fd, name, S_IFREG | 0644, 0);
  return result == 0 || errno == EEXIST ? 0 : -errno;
}

// One pass along `path`, making what is missing. The fd at its end, or -errno; -ERESTART when a
// dangling link was put into `path` and the pass has to begin again.
int WalkAndMake(int root_fd, char* path, TargetKind kind) {
  int parent_fd = OpenInRoot(root_fd, "/", O_PATH | O_DIRECTORY);
  if (parent_fd < 0) return parent_fd;
  for (size_t start = 0;;) {
    while (path[start] == '/') ++start;
    if (path[start] == '\0') return parent_fd;
    size_t end = start;
    while (path[end] != '/' && path[end] != '\0') ++end;
    size_t next = end;
    while (path[next] == '/') ++next;
    const TargetKind step_kind = path[next] == '\0' ? kind : TargetKind::kDirectory;

    const char saved = path[end];
    path[end] = '\0';
    int fd = OpenInRoot(root_fd, path, O_PATH);
    if (fd == -ENOENT) {
      char link[PATH_MAX];
      const ssize_t n = readlinkat(parent_fd, path + start, link, sizeof link - 1);
      if (n >= 0) {
        link[n] = '\0';
        path[end] = saved;
        close(parent_fd);
        const int error = ReplaceComponent(path, start, end, link);
        return error != 0 ? error : -ERESTART;
      }
      if (const int error = MakeEntry(parent_fd, path + start, step_kind); error != 0) {
        return error;
      }
      fd = OpenInRoot(root_fd, path, O_PATH);
    }
    path[end] = saved;
    close(parent_fd);
    if (fd < 0) return fd;
    parent_fd = fd;
    start = end;
  }
}

// The common case, in three calls: only the last component is missing. -ENOENT or -EEXIST send the
// caller on the long way: more is missing, or a dangling link is in the way.
int MakeLast(int root_fd, const char* path, TargetKind kind) {
  const char* slash = strrchr(path, '/');
  char parent[PATH_MAX];
  if (slash == nullptr || slash == path || slash[1] == '\0') return -ENOENT;
  const auto size = static_cast<size_t>(slash - path);
  if (size >= sizeof parent) return -ENAMETOOLONG;
  memcpy(parent, path, size);
  parent[size] = '\0';
  const int parent_fd = OpenInRoot(root_fd, parent, O_PATH | O_DIRECTORY);
  if (parent_fd < 0) return parent_fd;
  const bool made =
      (kind == TargetKind::kDirectory ? mkdirat(parent_fd, slash + 1, 0755)
                                      : mknodat(parent_fd, slash + 1, S_IFREG | 0644, 0)) == 0;
  close(parent_fd);
  return made ? OpenInRoot(root_fd, path, O_PATH) : -EEXIST;
}

}  // namespace

int OpenInRoot(int root_fd, const char* path, int flags, uint64_t resolve) {
  open_how how;
  memset(&how, 0, sizeof how);
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve;
  for (int attempt = 0;; ++attempt) {
    const long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    if (errno != EAGAIN || attempt == kMaxRetries) return -errno;
  }
}

int MakeTarget(int root_fd, const char* path, TargetKind kind) {
  int fd = OpenInRoot(root_fd, path, O_PATH);
  if (fd != -ENOENT) return fd;
  if ((fd = MakeLast(root_fd, path, kind)) >= 0) return fd;
  char walked[PATH_MAX];
  const size_t size = strlen(path);
  if (size >= sizeof walked) return -ENAMETOOLONG;
  memcpy(walked, path, size + 1);
  for (int links = 0; links < kMaxLinks; ++links) {
    const int result = WalkAndMake(root_fd, walked, kind);
    if (result != -ERESTART) return result;
  }
  return -ELOOP;
}

int MakeParent(int root_fd, const char* path, const char** name) {
  const char* slash = strrchr(path, '/');
  *name = slash == nullptr ? path : slash + 1;
  const size_t size = slash == nullptr ? 0 : static_cast<size_t>(slash - path);
  char parent[PATH_MAX];
  if (size >= sizeof parent - 1) return -ENAMETOOLONG;
  memcpy(parent, path, size);
  parent[size] = '\0';
  return MakeTarget(root_fd, size == 0 ? "/" : parent, TargetKind::kDirectory);
}

}  // namespace berth::shim::child
