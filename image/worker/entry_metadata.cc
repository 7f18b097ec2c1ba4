#include "image/worker/entry_metadata.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"
#include "image/worker/limits.h"

namespace berth::worker {
namespace {

constexpr char kCapability[] = "security.capability";

bool IsKept(absl::string_view name) {
  return name == kCapability ||
         (absl::StartsWith(name, "user.") && !absl::StartsWith(name, "user.overlay."));
}

absl::Status ApplyXattrs(archive_entry* entry, int fd) {
  int left = archive_entry_xattr_reset(entry);
  if (left > static_cast<int>(kMaxXattrs)) {
    return absl::InvalidArgumentError(absl::StrCat(left, " extended attributes"));
  }
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    if (name == nullptr || !IsKept(name)) continue;
    if (size > kMaxXattrBytes) {
      return absl::InvalidArgumentError(absl::StrCat("extended attribute of ", size, " bytes"));
    }
    if (fsetxattr(fd, name, value, size, 0) == 0) continue;
    // tmpfs before Linux 6.6 has no user.*; a lost capability would break the program instead.
    if (errno == EOPNOTSUPP && absl::string_view(name) != kCapability) continue;
    if (errno == EINVAL || errno == ERANGE || errno == E2BIG) {
      return absl::InvalidArgumentError(
          absl::StrCat("set extended attribute ", name, ": ", os::ErrnoText(errno)));
    }
    return os::ErrnoStatus(errno, absl::StrCat("set extended attribute ", name));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Owner> EntryOwner(archive_entry* entry) {
  const int64_t uid = archive_entry_uid(entry);
  const int64_t gid = archive_entry_gid(entry);
  // 2^32-1 means "leave as it is" to chown.
  if (uid < 0 || uid >= 0xffffffff || gid < 0 || gid >= 0xffffffff) {
    return absl::InvalidArgumentError(absl::StrCat("owner ", uid, ":", gid, " is out of range"));
  }
  return Owner{static_cast<uid_t>(uid), static_cast<gid_t>(gid)};
}

timespec EntryTime(archive_entry* entry) {
  return {archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)};
}

absl::Status ApplyMetadata(archive_entry* entry, int fd) {
  ASSIGN_OR_RETURN(const Owner owner, EntryOwner(entry));
  if (fchown(fd, owner.uid, owner.gid) != 0) return os::ErrnoStatus(errno, "chown");
  if (fchmod(fd, archive_entry_mode(entry) & 07777) != 0) return os::ErrnoStatus(errno, "chmod");
  return ApplyXattrs(entry, fd);
}

}  // namespace berth::worker
