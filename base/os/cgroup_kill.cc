// Ending a group: Kill and Remove.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/os/cgroup.h"
#include "base/os/cgroup_internal.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

using namespace cgroup_internal;  // NOLINT(google-build-using-namespace): its other half

constexpr absl::Duration kPatienceWithPidfds = absl::Milliseconds(100);

struct Victim {
  pid_t pid;
  UniqueFd pidfd;
};

absl::StatusOr<std::vector<Victim>> OpenAll(const std::vector<pid_t>& pids) {
  // Bounds the fds of a round; the next one takes the rest.
  constexpr size_t kRound = 512;
  std::vector<Victim> victims;
  int error = ESRCH;
  for (size_t i = 0; i < pids.size() && victims.size() < kRound; ++i) {
    UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pids[i], 0)));
    if (fd.valid()) {
      victims.push_back({pids[i], std::move(fd)});
    } else if (errno != ESRCH) {
      error = errno;
    }
  }
  if (victims.empty() && error != ESRCH) return ErrnoStatus(error, "open process");
  return victims;
}

absl::StatusOr<std::vector<Victim>> SignalListed(const CgroupHost& host, const std::string& path) {
  ASSIGN_OR_RETURN(std::vector<pid_t> pids, host.Pids(path));
  ASSIGN_OR_RETURN(std::vector<Victim> victims, OpenAll(pids));
  // Listed again with the fds in hand: such a pid is not another process by now.
  ASSIGN_OR_RETURN(pids, host.Pids(path));
  for (const Victim& victim : victims) {
    if (!std::binary_search(pids.begin(), pids.end(), victim.pid)) continue;
    // ESRCH: gone by itself.
    (void)syscall(SYS_pidfd_send_signal, victim.pidfd.get(), SIGKILL, nullptr, 0);
  }
  return victims;
}

absl::Status WaitForDeath(const std::vector<Victim>& victims, Deadline deadline) {
  for (const Victim& victim : victims) {
    pollfd p{victim.pidfd.get(), POLLIN, 0};
    for (;;) {
      const int n = poll(&p, 1, deadline.PollMillis());
      if (n > 0) break;
      if (n < 0 && errno != EINTR) return ErrnoStatus(errno, "poll pidfd");
      if (deadline.Expired()) {
        return absl::DeadlineExceededError(absl::StrCat("process ", victim.pid, " still runs"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status SetFreezer(const std::string& dir, const char* state) {
  if (dir.empty() || !Exists(dir, "freezer.state")) return absl::OkStatus();
  const absl::Status status = Write(dir, "freezer.state", state);
  return IsErrno(status, ENOENT) || IsErrno(status, ENODEV) ? absl::OkStatus() : status;
}

absl::Status RemoveDir(const std::string& dir) {
  if (rmdir(dir.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("remove cgroup ", dir));
}

absl::Status RemoveGroups(const std::string& dir) {
  ASSIGN_OR_RETURN(const std::vector<std::string> tree, TreeOf(dir));
  for (auto it = tree.rbegin(); it != tree.rend(); ++it) RETURN_IF_ERROR(RemoveDir(*it));
  return absl::OkStatus();
}

}  // namespace

absl::Status CgroupHost::KillListed(const std::string& path, Deadline deadline) const {
  const std::string root = V1Root("freezer");
  const std::string freezer = root.empty() ? "" : root + path;
  for (;;) {
    ASSIGN_OR_RETURN(const std::vector<pid_t> pids, Pids(path));
    // Thawed even when nothing is listed: a daemon that died in the middle may have left it frozen.
    if (pids.empty()) return SetFreezer(freezer, "THAWED");
    if (deadline.Expired()) {
      return absl::DeadlineExceededError(absl::StrCat(pids.size(), " processes still run"));
    }
    // Frozen, a fork bomb stands still; what is killed in that state dies when it is thawed.
    RETURN_IF_ERROR(SetFreezer(freezer, "FROZEN"));
    const absl::StatusOr<std::vector<Victim>> victims = SignalListed(*this, path);
    RETURN_IF_ERROR(SetFreezer(freezer, "THAWED"));
    RETURN_IF_ERROR(victims.status());
    // For a moment only, then the list decides: the init of a PID namespace ends when the last
    // zombie in there has been reaped, by whoever is its parent, and is in no list meanwhile.
    absl::Status dead = WaitForDeath(*victims, deadline.Min(Deadline::After(kPatienceWithPidfds)));
    if (!dead.ok() && !absl::IsDeadlineExceeded(dead)) return dead;
  }
}

absl::Status CgroupHost::Kill(const std::string& path, Deadline deadline) const {
  RETURN_IF_ERROR(CheckPath(path));
  if (!v2_root_.empty()) {
    absl::Status status = Write(v2_root_ + path, "cgroup.kill", "1");
    const bool gone = IsErrno(status, ENOENT) || IsErrno(status, ENODEV);
    if (!status.ok() && !gone) return status;
  }
  if (layout_ != CgroupLayout::kV2) {
    RETURN_IF_ERROR_CTX(KillListed(path, deadline), absl::StrCat("kill cgroup ", path));
  }
  if (!v2_root_.empty()) {
    RETURN_IF_ERROR_CTX(WaitUnpopulated(v2_root_ + path, deadline),
                        absl::StrCat("kill cgroup ", path));
  }
  return absl::OkStatus();
}

absl::Status CgroupHost::Remove(const std::string& path, Deadline deadline) const {
  RETURN_IF_ERROR(CheckPath(path));
  for (const std::string& dir : Dirs(path)) {
    absl::Duration pause = absl::Milliseconds(1);
    for (;;) {
      absl::Status status = RemoveGroups(dir);
      if (status.ok()) break;
      if (!IsErrno(status, EBUSY) || deadline.Expired()) return status;
      // v2 tells when it becomes empty; v1 has no such word, and a process counts in its group for
      // a moment after its pidfd said that it is dead.
      const bool v2 = !v2_root_.empty() && dir == v2_root_ + path;
      if (v2) RETURN_IF_ERROR(WaitUnpopulated(dir, deadline));
      (void)poll(nullptr, 0, Deadline::After(pause).Min(deadline).PollMillis());
      pause = std::min(pause * 2, absl::Milliseconds(50));
    }
  }
  return absl::OkStatus();
}

}  // namespace berth::os
