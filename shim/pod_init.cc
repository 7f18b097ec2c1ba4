#include "shim/pod_init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"
#include "shim/monitor/pod_init.h"

namespace berth::shim {
namespace {

using monitor::InitReport;
using oci::NamespaceType;

constexpr absl::Duration kReapLimit = absl::Seconds(10);

// 0 for one that the init does not join.
int FlagOf(NamespaceType type) {
  switch (type) {
    case NamespaceType::kNetwork:
      return CLONE_NEWNET;
    case NamespaceType::kIpc:
      return CLONE_NEWIPC;
    case NamespaceType::kUts:
      return CLONE_NEWUTS;
    case NamespaceType::kUser:
      return CLONE_NEWUSER;
    case NamespaceType::kPid:
    case NamespaceType::kMount:
    case NamespaceType::kCgroup:
    case NamespaceType::kTime:
      break;
  }
  return 0;
}

const char* StepName(int32_t step) {
  switch (step) {
    case monitor::kInitHolderFailed:
      return "enter holder namespace";
    case monitor::kInitJoinFailed:
      return "join namespaces";
    case monitor::kInitRootFailed:
      return "leave file systems";
    case monitor::kInitOomScoreFailed:
      return "set oom_score_adj";
    case monitor::kInitUserFailed:
      return "become root of the pod";
    case monitor::kInitPrivilegesFailed:
      return "give up privileges";
    case monitor::kInitCloneFailed:
      return "clone3 into a new PID namespace";
    default:
      return "unknown step";
  }
}

absl::StatusOr<os::Child> Spawn(const PodInitStart& start, int report) {
  os::SpawnOptions spawn;
  spawn.program_fd = start.program_fd;
  spawn.argv = {"berth-shim", "init", absl::StrCat(start.oom_score_adj)};
  spawn.fds = {{report, monitor::kInitReportFd}, {start.holder_fd, monitor::kInitHolderFd}};
  std::vector<std::pair<int, int>> join;  // {flag, fd}
  for (const auto& [type, fd] : *start.namespaces) {
    if (const int flag = FlagOf(type); flag != 0) join.emplace_back(flag, fd.get());
  }
  // The user namespace last: its root has no power over what the host owns.
  std::stable_partition(join.begin(), join.end(),
                        [](const auto& one) { return one.first != CLONE_NEWUSER; });
  for (size_t i = 0; i < join.size(); ++i) {
    spawn.argv.push_back(absl::StrCat(join[i].first));
    spawn.fds.emplace_back(join[i].second, monitor::kInitJoinFd + static_cast<int>(i));
  }
  spawn.cgroup_fd = start.group->into.get();
  for (const os::UniqueFd& fd : start.group->tasks) spawn.cgroup_tasks_fds.push_back(fd.get());
  return os::Spawn(spawn);
}

// EOF is an error: whoever holds the other end has ended.
absl::StatusOr<InitReport> NextReport(int fd, Deadline deadline) {
  pollfd p{fd, POLLIN, 0};
  for (int n; (n = poll(&p, 1, deadline.PollMillis())) <= 0;) {
    if (n < 0 && errno != EINTR) return os::ErrnoStatus(errno, "poll pod init");
    if (deadline.Expired()) return absl::DeadlineExceededError("pod init does not answer");
  }
  InitReport report{};
  const ssize_t n = read(fd, &report, sizeof report);
  if (n < 0) return os::ErrnoStatus(errno, "read report of pod init");
  if (n != sizeof report) return absl::InternalError("pod init ended before it was ready");
  return report;
}

// Both words, in whichever order they come. *init: as soon as it is known.
absl::Status AwaitReady(int fd, Deadline deadline, os::Child* init) {
  for (bool ready = false; !ready || init->pid < 0;) {
    ASSIGN_OR_RETURN(const InitReport report, NextReport(fd, deadline));
    if (report.step == monitor::kInitReady) {
      ready = true;
    } else if (report.step == monitor::kInitBorn) {
      init->pid = report.value;
      // Our own child and not reaped: the pid is still its.
      init->pidfd.reset(static_cast<int>(syscall(SYS_pidfd_open, init->pid, 0)));
      if (!init->pidfd.valid()) return os::ErrnoStatus(errno, "open pod init");
    } else {
      return os::ErrnoStatus(report.value, StepName(report.step));
    }
  }
  BERTH_FAILPOINT(pod_init_after_start);
  return absl::OkStatus();
}

void KillAndReap(const os::Child& child) {
  if (child.pid < 0 || !child.pidfd.valid()) return;
  // Both fail only for one that has ended; one that does not die is left to the cgroup's removal.
  (void)syscall(SYS_pidfd_send_signal, child.pidfd.get(), SIGKILL, nullptr, 0);
  (void)os::WaitChild(child, Deadline::After(kReapLimit));
}

}  // namespace

absl::StatusOr<os::Child> StartPodInit(const PodInitStart& start, Deadline deadline) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return os::ErrnoStatus(errno, "start pod init: make pipe");
  const os::UniqueFd ours(ends[0]);
  os::UniqueFd theirs(ends[1]);
  ASSIGN_OR_RETURN_CTX(const os::Child first, Spawn(start, theirs.get()), "start pod init");
  theirs.reset();
  os::Child init;
  const absl::Status ready = AwaitReady(ours.get(), deadline, &init);
  KillAndReap(first);  // it has nothing more to do
  if (ready.ok()) return init;
  KillAndReap(init);
  return WithCode(absl::IsDeadlineExceeded(ready) ? absl::StatusCode::kDeadlineExceeded
                                                  : absl::StatusCode::kInternal,
                  ready, "start pod init");
}

}  // namespace berth::shim
