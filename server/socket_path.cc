#include "server/socket_path.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/unique_fd.h"
#include "base/status_macros.h"

namespace berth::server {
namespace {

absl::Status Refuse(const std::string& path, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("listen on ", path, ": ", why));
}

// True when connect(2) finds a listener: its queue being full means that one is there.
absl::StatusOr<bool> SomebodyListens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return Refuse(path, "the path is too long");
  memcpy(address.sun_path, path.data(), path.size());
  const os::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return os::ErrnoStatus(errno, "make a socket");
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return true;
  }
  return errno == EAGAIN || errno == EINPROGRESS || errno == EPROTOTYPE;
}

absl::Status CheckFree(const std::string& path) {
  struct stat st;
  if (lstat(path.c_str(), &st) != 0) {
    return errno == ENOENT ? absl::OkStatus() : os::ErrnoStatus(errno, absl::StrCat("stat ", path));
  }
  if (!S_ISSOCK(st.st_mode)) return Refuse(path, "something that is no socket is in the way");
  ASSIGN_OR_RETURN(const bool live, SomebodyListens(path));
  return live ? Refuse(path, "another process listens there") : absl::OkStatus();
}

absl::Status MakeBindDirectory(const std::string& directory) {
  if (mkdir(directory.c_str(), 0700) == 0) return absl::OkStatus();
  if (errno != EEXIST) return os::ErrnoStatus(errno, absl::StrCat("mkdir ", directory));
  // A kill between bind and rename left it: it must be ours and closed to others.
  ASSIGN_OR_RETURN(const os::UniqueFd fd, os::Open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat st;
  if (fstat(fd.get(), &st) != 0) return os::ErrnoStatus(errno, absl::StrCat("stat ", directory));
  if (st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
    return Refuse(directory, "the directory is not ours alone");
  }
  if (unlinkat(fd.get(), "s", 0) != 0 && errno != ENOENT) {
    return os::ErrnoStatus(errno, absl::StrCat("remove ", directory, "/s"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SocketPath> SocketPath::Prepare(const std::string& path, mode_t mode, gid_t group) {
  RETURN_IF_ERROR(CheckFree(path));
  RETURN_IF_ERROR(MakeBindDirectory(path + ".new"));
  return SocketPath(path, mode, group);
}

absl::Status SocketPath::Publish() {
  const std::string bound = BindPath();
  if (lchown(bound.c_str(), static_cast<uid_t>(-1), group_) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("chgrp ", bound));
  }
  if (chmod(bound.c_str(), mode_) != 0)
    return os::ErrnoStatus(errno, absl::StrCat("chmod ", bound));
  struct stat st;
  if (lstat(bound.c_str(), &st) != 0) return os::ErrnoStatus(errno, absl::StrCat("stat ", bound));
  if (rename(bound.c_str(), path_.c_str()) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("rename ", bound, " to ", path_));
  }
  device_ = st.st_dev;
  inode_ = st.st_ino;
  const std::string directory = path_ + ".new";
  if (rmdir(directory.c_str()) != 0)
    return os::ErrnoStatus(errno, absl::StrCat("rmdir ", directory));
  return absl::OkStatus();
}

absl::Status SocketPath::Withdraw() {
  struct stat st;
  if (inode_ == 0 || lstat(path_.c_str(), &st) != 0) return absl::OkStatus();
  if (st.st_dev != device_ || st.st_ino != inode_) return absl::OkStatus();
  if (unlink(path_.c_str()) != 0 && errno != ENOENT) {
    return os::ErrnoStatus(errno, absl::StrCat("remove ", path_));
  }
  return absl::OkStatus();
}

}  // namespace berth::server
