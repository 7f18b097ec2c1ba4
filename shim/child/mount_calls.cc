#include "shim/child/mount_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "shim/child/root_path.h"

namespace berth::shim::child {
namespace {

// The message of an fs_context: "e tmpfs: Bad value for 'size'".
void ReadKernelMessage(int fs_fd, Words* message) {
  char line[160];
  const ssize_t n = read(fs_fd, line, sizeof line - 1);
  if (n <= 0) return;
  line[n] = '\0';
  if (line[n - 1] == '\n') line[n - 1] = '\0';
  const char* text = n > 2 && line[1] == ' ' ? line + 2 : line;
  message->Add(": ").Add(text);
}

// fsconfig(2) for each; its result and errno.
int Configure(int fs_fd, PlanReader plan, Span options) {
  const auto* pairs = plan.Elements<TextPair>(options);
  int result = 0;
  for (uint32_t i = 0; i < options.count && result == 0; ++i) {
    const char* key = plan.TextAt(pairs[i].first);
    result = pairs[i].second == 0
                 ? fsconfig(fs_fd, FSCONFIG_SET_FLAG, key, nullptr, 0)
                 : fsconfig(fs_fd, FSCONFIG_SET_STRING, key, plan.TextAt(pairs[i].second), 0);
  }
  return result;
}

}  // namespace

int NewFileSystem(PlanReader plan, const char* fs_type, Span options, uint64_t attributes,
                  Words* message) {
  const int fs_fd = fsopen(fs_type, FSOPEN_CLOEXEC);
  if (fs_fd < 0) return -errno;
  int result = Configure(fs_fd, plan, options);
  if (result == 0) result = fsconfig(fs_fd, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0);
  if (result == 0) {
    result = fsmount(fs_fd, FSMOUNT_CLOEXEC, static_cast<unsigned int>(attributes));
  }
  if (result < 0) {
    result = -errno;
    ReadKernelMessage(fs_fd, message);
  }
  close(fs_fd);
  return result;
}

int Reconfigure(int fd, PlanReader plan, Span options, Words* message) {
  const int fs_fd = fspick(fd, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC);
  if (fs_fd < 0) return -errno;
  int result = Configure(fs_fd, plan, options);
  if (result == 0) result = fsconfig(fs_fd, FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0);
  if (result < 0) {
    result = -errno;
    ReadKernelMessage(fs_fd, message);
  }
  close(fs_fd);
  return result;
}

int Attach(int mount_fd, int target_fd) {
  return move_mount(mount_fd, "", target_fd, "",
                    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0
             ? 0
             : -errno;
}

int Clone(int fd, bool recursive) {
  const unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
                             (recursive ? static_cast<unsigned int>(AT_RECURSIVE) : 0U);
  const int result = open_tree(fd, "", flags);
  return result >= 0 ? result : -errno;
}

int SetAttributes(int fd, AttributeChange change, uint64_t propagation, bool recursive) {
  mount_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.attr_set = change.set;
  attr.attr_clr = change.clear;
  attr.propagation = propagation;
  return mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr,
                       sizeof attr) == 0
             ? 0
             : -errno;
}

int OpenNull(int root_fd, bool path_only) {
  // Looked at before it is opened (opening some devices does things) and again afterwards (another
  // process may have put something else there meanwhile).
  const int attempts[] = {O_PATH, O_RDWR | O_NONBLOCK};
  for (const int flags : attempts) {
    const int fd = OpenInRoot(root_fd, "/dev/null", flags | O_NOFOLLOW);
    if (fd < 0) return fd;
    struct stat st;
    const bool is_null = fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
    if (is_null && (path_only || flags != O_PATH)) return fd;
    close(fd);
    if (!is_null) return -ENODEV;
  }
  return -ENODEV;
}

}  // namespace berth::shim::child
