#include "server/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/ids.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::server {
namespace {

constexpr char kIdentity[] = "identity";
constexpr absl::string_view kFormat = "1";

absl::Status Refuse(const std::string& path, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("claim directory ", path, ": ", why));
}

// flock conflicts between open file descriptions: opening the directory twice is enough to be shut
// out, and a crash gives it back.
absl::Status Lock(const std::string& path, int fd) {
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  if (errno != EWOULDBLOCK) return os::ErrnoStatus(errno, absl::StrCat("lock directory ", path));
  struct stat st;
  pid_t holder = 0;
  const absl::StatusOr<std::string> locks = os::ReadFile("/proc/locks", 16 << 20);
  if (locks.ok() && fstat(fd, &st) == 0) holder = LockHolder(*locks, st.st_dev, st.st_ino);
  return Refuse(path, holder == 0 ? "another process holds it"
                                  : absl::StrCat("process ", holder, " holds it"));
}

absl::StatusOr<os::UniqueFd> OpenOwn(const std::string& path) {
  absl::StatusOr<os::UniqueFd> fd = os::Open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!fd.ok()) {
    if (os::IsErrno(fd.status(), ELOOP) || os::IsErrno(fd.status(), ENOTDIR)) {
      return Refuse(path, "not a directory (a symbolic link is not followed)");
    }
    return fd.status();
  }
  struct stat st;
  if (fstat(fd->get(), &st) != 0) return os::ErrnoStatus(errno, absl::StrCat("stat ", path));
  if (st.st_uid != geteuid()) return Refuse(path, absl::StrCat("owned by user ", st.st_uid));
  return fd;
}

// The id in the identity file's text, or why it is not ours to use.
absl::StatusOr<std::string> ParseIdentity(const std::string& path, absl::string_view text,
                                          absl::string_view role) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  if (words.size() != 4 || words[0] != "berth" || !IsHexId(words[3])) {
    return Refuse(path, "its identity file is not one of berth's");
  }
  if (words[1] != role) {
    return Refuse(path,
                  absl::StrCat("it is a ", words[1], " directory, not a ", role, " directory"));
  }
  if (words[2] != kFormat) {
    return Refuse(path, absl::StrCat("its format is ", words[2], ", this version knows ", kFormat));
  }
  return std::string(words[3]);
}

absl::StatusOr<std::string> Adopt(const std::string& path, int fd, absl::string_view role) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, os::ListDir(fd, "."));
  for (const std::string& name : names) {
    // A kill in the middle of the write below leaves the temporary file.
    if (absl::StartsWith(name, absl::StrCat(".", kIdentity, "."))) {
      RETURN_IF_ERROR(os::RemoveTree(fd, name));
    } else if (name != "lost+found") {
      return Refuse(path, absl::StrCat("it has no identity file and is not empty (\"", name,
                                       "\"), so it may be somebody else's"));
    }
  }
  const std::string id = NewHexId();
  RETURN_IF_ERROR(os::WriteFileAtomic(fd, kIdentity,
                                      absl::StrCat("berth ", role, " ", kFormat, " ", id, "\n"),
                                      0600, os::Durability::kPowerLoss));
  return id;
}

absl::StatusOr<std::string> Identify(const std::string& path, int fd, absl::string_view role) {
  const absl::StatusOr<std::string> text = os::ReadFileAt(fd, kIdentity, 4096);
  if (text.ok()) return ParseIdentity(path, *text, role);
  if (!os::IsErrno(text.status(), ENOENT)) return text.status();
  return Adopt(path, fd, role);
}

}  // namespace

pid_t LockHolder(absl::string_view proc_locks, dev_t device, ino_t inode) {
  // "1: FLOCK  ADVISORY  WRITE 1234 fd:01:131077 0 EOF"; waiters have "->" after the number.
  const std::string wanted = absl::StrFormat("%02x:%02x:%d", major(device), minor(device), inode);
  for (absl::string_view line : absl::StrSplit(proc_locks, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    pid_t pid = 0;
    if (words.size() > 5 && words[1] == "FLOCK" && words[5] == wanted &&
        absl::SimpleAtoi(words[4], &pid) && pid > 0) {
      return pid;
    }
  }
  return 0;
}

absl::StatusOr<StateDir> StateDir::Claim(const std::string& path, absl::string_view role,
                                         mode_t mode, gid_t group) {
  const size_t slash = path.rfind('/');
  if (slash != 0) RETURN_IF_ERROR(os::MakeDirs(path.substr(0, slash), 0755));
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return os::ErrnoStatus(errno, absl::StrCat("mkdir ", path));
  }
  ASSIGN_OR_RETURN(os::UniqueFd fd, OpenOwn(path));
  RETURN_IF_ERROR(Lock(path, fd.get()));
  ASSIGN_OR_RETURN(std::string id, Identify(path, fd.get(), role));
  // Only now is it known to be ours to change.
  if (fchown(fd.get(), static_cast<uid_t>(-1), group) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("chgrp ", path));
  }
  if (fchmod(fd.get(), mode) != 0) return os::ErrnoStatus(errno, absl::StrCat("chmod ", path));
  return StateDir(path, std::move(id), std::move(fd));
}

}  // namespace berth::server
