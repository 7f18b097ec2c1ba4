#include "base/os/namespace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"

namespace berth::os {
namespace {

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

std::string OwnPath(uint64_t type) {
  return absl::StrCat("/proc/thread-self/ns/", NamespaceName(type));
}

}  // namespace

absl::StatusOr<UniqueFd> OpenNamespaceFile(const std::string& path) {
  return Open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

absl::StatusOr<uint64_t> NamespaceTypeOf(int fd) {
  const int type = ioctl(fd, NS_GET_NSTYPE);
  if (type < 0) return ErrnoStatus(errno, "ask for the type of a namespace");
  return static_cast<uint64_t>(type);
}

const char* NamespaceName(uint64_t type) {
  switch (type) {
    case CLONE_NEWPID:
      return "pid";
    case CLONE_NEWNET:
      return "net";
    case CLONE_NEWNS:
      return "mnt";
    case CLONE_NEWIPC:
      return "ipc";
    case CLONE_NEWUTS:
      return "uts";
    case CLONE_NEWUSER:
      return "user";
    case CLONE_NEWCGROUP:
      return "cgroup";
    case CLONE_NEWTIME:
      return "time";
    default:
      return nullptr;
  }
}

bool HasNamespaces(uint64_t type) { return access(OwnPath(type).c_str(), F_OK) == 0; }

absl::StatusOr<bool> IsOwnNamespace(int fd, uint64_t type) {
  struct stat theirs;
  struct stat own;
  const std::string path = OwnPath(type);
  if (fstat(fd, &theirs) != 0) return ErrnoStatus(errno, "inspect namespace");
  if (stat(path.c_str(), &own) != 0) return ErrnoStatus(errno, absl::StrCat("inspect ", path));
  return theirs.st_dev == own.st_dev && theirs.st_ino == own.st_ino;
}

}  // namespace berth::os
