#include "base/os/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

std::string HeldBy(int fd) {
  const absl::StatusOr<std::string> text = ReadAll(fd, 64);
  int pid = 0;
  if (!text.ok() || !absl::SimpleAtoi(*text, &pid)) return "another process";
  return absl::StrCat("process ", pid);
}

}  // namespace

absl::StatusOr<FileLock> FileLock::Acquire(const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return absl::FailedPreconditionError(
          absl::StrCat("lock ", path, ": held by ", HeldBy(fd.get())));
    }
    return ErrnoStatus(errno, absl::StrCat("lock ", path));
  }
  if (ftruncate(fd.get(), 0) != 0) return ErrnoStatus(errno, absl::StrCat("truncate ", path));
  RETURN_IF_ERROR_CTX(WriteAll(fd.get(), absl::StrCat(getpid(), "\n")),
                      absl::StrCat("write pid to ", path));
  return FileLock(std::move(fd));
}

}  // namespace berth::os
