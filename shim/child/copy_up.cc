#include "shim/child/copy_up.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace berth::shim::child {
namespace {

constexpr int kMaxDepth = 200;  // a buffer of this size lies on the stack for each
constexpr size_t kEntryBuffer = 4096;
constexpr size_t kPiece = size_t{1} << 30;  // of sendfile

struct Entry {  // the kernel's linux_dirent64
  uint64_t inode;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[1];
};

int CopyDirectory(int from, int to, int depth);

// Owner before mode: a change of owner clears set-user-id.
int SetMeta(int fd, const struct stat& st) {
  const timespec times[] = {st.st_atim, st.st_mtim};
  if (fchown(fd, st.st_uid, st.st_gid) != 0 || fchmod(fd, st.st_mode & 07777) != 0 ||
      futimens(fd, times) != 0) {
    return -errno;
  }
  return 0;
}

int SetMetaAt(int dir, const char* name, const struct stat& st) {
  const timespec times[] = {st.st_atim, st.st_mtim};
  if (fchownat(dir, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) != 0 ||
      utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) != 0) {
    return -errno;
  }
  return 0;
}

int CopyFile(int from, int to, const char* name, const struct stat& st) {
  const int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (source < 0) return -errno;
  const int target = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  int result = target < 0 ? -errno : 0;
  for (ssize_t n = 1; result == 0 && n > 0;) {
    n = sendfile(target, source, nullptr, kPiece);
    if (n < 0) result = -errno;
  }
  if (result == 0) result = SetMeta(target, st);
  if (target >= 0) close(target);
  close(source);
  return result;
}

int CopyLink(int from, int to, const char* name, const struct stat& st) {
  char link[PATH_MAX];
  const ssize_t n = readlinkat(from, name, link, sizeof link - 1);
  if (n < 0) return -errno;
  link[n] = '\0';
  if (symlinkat(link, to, name) != 0) return -errno;
  return SetMetaAt(to, name, st);
}

int CopySubdirectory(int from, int to, const char* name, const struct stat& st, int depth) {
  if (mkdirat(to, name, 0700) != 0) return -errno;
  const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  const int source = openat(from, name, flags);
  if (source < 0) return -errno;
  const int target = openat(to, name, flags);
  int result = target < 0 ? -errno : CopyDirectory(source, target, depth + 1);
  if (result == 0) result = SetMeta(target, st);
  if (target >= 0) close(target);
  close(source);
  return result;
}

int CopyEntry(int from, int to, const char* name, int depth) {
  struct stat st;
  if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return -errno;
  switch (st.st_mode & S_IFMT) {
    case S_IFDIR:
      return CopySubdirectory(from, to, name, st, depth);
    case S_IFREG:
      return CopyFile(from, to, name, st);
    case S_IFLNK:
      return CopyLink(from, to, name, st);
    case S_IFSOCK:
      return 0;
    default:
      if (mknodat(to, name, st.st_mode, st.st_rdev) != 0) return -errno;
      return SetMetaAt(to, name, st);
  }
}

bool IsSelfOrParent(const char* name) {
  return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

// NOLINTNEXTLINE(misc-no-recursion): bounded by kMaxDepth
int CopyDirectory(int from, int to, int depth) {
  if (depth > kMaxDepth) return -ELOOP;
  alignas(Entry) char buffer[kEntryBuffer];
  for (;;) {
    const long size = syscall(SYS_getdents64, from, buffer, sizeof buffer);
    if (size < 0) return -errno;
    if (size == 0) return 0;
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
      at += entry->size;
      if (IsSelfOrParent(entry->name)) continue;
      if (const int error = CopyEntry(from, to, entry->name, depth); error != 0) return error;
    }
  }
}

}  // namespace

int CopyUp(int from, int to, bool with_root) {
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  const int source = openat(from, ".", flags);
  if (source < 0) return -errno;
  const int target = openat(to, ".", flags);
  int result = target < 0 ? -errno : CopyDirectory(source, target, 0);
  struct stat st;
  if (result == 0 && with_root) {
    result = fstat(source, &st) != 0 ? -errno : SetMeta(target, st);
  }
  if (target >= 0) close(target);
  close(source);
  return result;
}

}  // namespace berth::shim::child
