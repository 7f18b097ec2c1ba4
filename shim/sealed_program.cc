#include "shim/sealed_program.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "base/status_macros.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U  // Linux 6.3
#endif

namespace berth::shim {
namespace {

absl::StatusOr<os::UniqueFd> SealedCopy(int binary, const std::string& path) {
  struct stat st;
  if (fstat(binary, &st) != 0) return os::ErrnoStatus(errno, absl::StrCat("stat ", path));
  os::UniqueFd copy(memfd_create("berth-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));
  // Before 6.3 the flag is unknown and every memfd is executable.
  if (!copy.valid() && errno == EINVAL) {
    copy.reset(memfd_create("berth-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  }
  if (!copy.valid()) return os::ErrnoStatus(errno, "memfd_create");
  for (off_t done = 0; done < st.st_size;) {
    const ssize_t n = sendfile(copy.get(), binary, &done, st.st_size - done);
    if (n == 0) break;  // the file shrank
    if (n < 0 && errno != EINTR) return os::ErrnoStatus(errno, absl::StrCat("copy ", path));
  }
  constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (fcntl(copy.get(), F_ADD_SEALS, kSeals) != 0) return os::ErrnoStatus(errno, "seal memfd");
  return copy;
}

}  // namespace

absl::StatusOr<os::UniqueFd> OpenSealedProgram(const std::string& path) {
  ASSIGN_OR_RETURN(const os::UniqueFd binary, os::Open(path, O_RDONLY));
  absl::StatusOr<os::UniqueFd> copy = SealedCopy(binary.get(), path);
  if (copy.ok() || (!os::IsErrno(copy.status(), EACCES) && !os::IsErrno(copy.status(), EPERM))) {
    return copy;
  }
  ASSIGN_OR_RETURN(os::UniqueFd mount, os::CloneTree(AT_FDCWD, path, /*recursive=*/false));
  RETURN_IF_ERROR(os::SetMountAttributes(mount.get(), MOUNT_ATTR_RDONLY, 0, MS_PRIVATE,
                                         /*recursive=*/false));
  return mount;
}

}  // namespace berth::shim
