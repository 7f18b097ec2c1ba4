#include "shim/user_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::shim {
namespace {

constexpr uint64_t kPlain = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

}  // namespace

absl::Status EnterUserStage(const std::string& directory) {
  if (unshare(CLONE_NEWNS) != 0 ||
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return os::ErrnoStatus(errno, "make a mount namespace to set up in");
  }
  ASSIGN_OR_RETURN(const os::DetachedMount sys,
                   os::NewMount("sysfs", {{"source", "sysfs"}}, kPlain));
  return os::AttachMount(sys.get(), AT_FDCWD, directory);
}

absl::Status LeaveUserStage(int mount_ns_fd) {
  if (setns(mount_ns_fd, CLONE_NEWNS) != 0) {
    return os::ErrnoStatus(errno, "leave the mount namespace to set up in");
  }
  return absl::OkStatus();
}

absl::StatusOr<HostDevices> HostDevices::Open(const std::string& directory) {
  ASSIGN_OR_RETURN(os::DetachedMount devtmpfs,
                   os::NewMount("devtmpfs", {{"source", "devtmpfs"}}, MOUNT_ATTR_NOSUID));
  // A clone of what lies in a mount is allowed once it is attached.
  RETURN_IF_ERROR(os::AttachMount(devtmpfs.get(), AT_FDCWD, directory));
  return HostDevices(std::move(devtmpfs));
}

absl::StatusOr<os::DetachedMount> HostDevices::Clone(const std::string& path, mode_t type,
                                                     dev_t number) const {
  if (!absl::StartsWith(path, "/dev/")) {
    return absl::InvalidArgumentError(
        absl::StrCat("linux.devices: ", path, ": in a user namespace devices are below /dev"));
  }
  absl::StatusOr<os::UniqueFd> node =
      os::OpenInRoot(devtmpfs_.get(), path.substr(5), O_PATH | O_NOFOLLOW);
  if (!node.ok()) {
    return WithCode(absl::StatusCode::kInvalidArgument, node.status(),
                    absl::StrCat("linux.devices: ", path, ": of the host"));
  }
  struct stat st;
  if (fstat(node->get(), &st) != 0) return os::ErrnoStatus(errno, absl::StrCat("stat ", path));
  if ((st.st_mode & S_IFMT) != type || st.st_rdev != number) {
    return absl::InvalidArgumentError(
        absl::StrCat("linux.devices: ", path,
                     ": the host has another device there, and none can be "
                     "made in a user namespace"));
  }
  return os::CloneTree(node->get(), "", /*recursive=*/false);
}

}  // namespace berth::shim
