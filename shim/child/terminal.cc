#include "shim/child/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "shim/child/mount_calls.h"
#include "shim/child/report.h"
#include "shim/child/root_path.h"

namespace berth::shim::child {
namespace {

constexpr char kDirectory[] = "/dev/pts";
constexpr char kConsole[] = "/dev/console";
// Beside the descriptor there has to be a byte of data; receivers show it as the terminal's name.
constexpr char kName[] = "/dev/ptmx";

// The multiplexer of the devpts at /dev/pts, or -errno. In a directory that is a devpts the kernel
// alone makes names; what is mounted on one is refused.
int OpenMultiplexer(int root_fd) {
  const int directory = OpenInRoot(root_fd, kDirectory, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
  if (directory < 0) return directory;
  struct statfs file_system;
  int result = fstatfs(directory, &file_system) == 0 ? 0 : -errno;
  if (result == 0 && file_system.f_type != DEVPTS_SUPER_MAGIC) result = -ENODEV;
  if (result == 0) {
    result =
        OpenInRoot(directory, "ptmx", O_RDWR | O_NOCTTY, RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  }
  close(directory);
  if (result < 0) return result;
  struct stat st;
  if (fstat(result, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2)) return result;
  close(result);
  return -ENODEV;
}

// 0 or -errno.
int Send(int socket, int master_fd) {
  iovec data = {const_cast<char*>(kName), sizeof kName - 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof master_fd)];
  memset(control, 0, sizeof control);
  msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof master_fd);
  memcpy(CMSG_DATA(header), &master_fd, sizeof master_fd);
  ssize_t n;
  do {
    n = sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  return n < 0 ? -errno : 0;
}

}  // namespace

int OpenTerminal(int root_fd, const TerminalRequest& request, uint32_t owner, int report_fd) {
  const auto check = [report_fd](int result, const char* what) {
    if (result < 0) Fail(report_fd, kStepTerminal, -result, what);
    return result;
  };
  const auto call = [&check](int result, const char* what) {
    return check(result >= 0 ? result : -errno, what);
  };
  const int master = check(OpenMultiplexer(root_fd), "/dev/pts/ptmx of a devpts");
  const int unlocked = 0;
  call(ioctl(master, TIOCSPTLCK, &unlocked), "unlock");
  const int slave = call(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC), "open slave");
  // The group stays the one that the devpts was mounted with.
  call(fchown(slave, owner, static_cast<gid_t>(-1)), "give it to the user");
  if (request.rows != 0 || request.columns != 0) {
    const winsize size = {request.rows, request.columns, 0, 0};
    call(ioctl(master, TIOCSWINSZ, &size), "set its size");
  }
  check(Send(request.socket, master), "send its master");
  close(master);
  return slave;
}

void BindConsole(int root_fd, int slave_fd, int report_fd) {
  const auto check = [report_fd](int result) {
    if (result < 0) Fail(report_fd, kStepTerminal, -result, kConsole);
    return result;
  };
  const int parent = check(OpenInRoot(root_fd, "/dev", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS));
  // What is there already is hidden, unless it leads elsewhere.
  check(mknodat(parent, "console", S_IFREG | 0600, 0) == 0 || errno == EEXIST ? 0 : -errno);
  const int target =
      check(OpenInRoot(parent, "console", O_PATH, RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV));
  struct stat st;
  check(fstat(target, &st) == 0 ? 0 : -errno);
  if (S_ISDIR(st.st_mode)) check(-EISDIR);
  const int clone = check(Clone(slave_fd, false));
  check(Attach(clone, target));
  close(clone);
  close(target);
  close(parent);
}

void TakeTerminal(int report_fd) {
  if (ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0) {
    Fail(report_fd, kStepTerminal, errno, "make it the controlling one");
  }
}

}  // namespace berth::shim::child
