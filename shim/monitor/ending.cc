#include <errno.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shim/monitor/cgroup.h"
#include "shim/monitor/loop.h"
#include "shim/monitor/volumes.h"

namespace berth::shim::monitor {
namespace {

using protocol::Code;
using protocol::Op;

constexpr int64_t kMillisecond = 1000000;
// Container runtimes agree on it for a command that could not be executed.
constexpr int kStartFailedCode = 128;

int64_t WallNow() {
  timespec t;
  (void)clock_gettime(CLOCK_REALTIME, &t);  // cannot fail for this clock
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

}  // namespace

void Monitor::OnInitEnded(int status) {
  if (stage_ > Stage::kRunning) return;
  if (stage_ == Stage::kStarting) OnReport();  // its last word may still be in the pipe
  facts_.finished_at = WallNow();
  facts_.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  facts_.exit_code = WIFSIGNALED(status) ? 128 + facts_.signal : WEXITSTATUS(status);
  if (start_failed_) {
    facts_.exit_code = kStartFailedCode;
    facts_.signal = 0;
  }
  stage_ = Stage::kEmptying;
  KillCgroup(state_);
  CheckEmpty();
}

// The container has ended when its cgroup is empty, not when its first process is gone.
void Monitor::CheckEmpty() {
  if (stage_ != Stage::kEmptying) return;
  if (events_fd_ < 0) {
    events_fd_ = OpenEvents(state_.cgroup_v2_fd);
    if (events_fd_ >= 0 && !Listen(events_fd_, EPOLLPRI, Source::kCgroup, 0)) CloseFd(&events_fd_);
  }
  if (!IsCgroupEmpty(state_, events_fd_)) {
    // v1 has no notification that reaches here: kill what forked meanwhile and look again.
    if (events_fd_ < 0) {
      KillCgroup(state_);
      recheck_at_ = MonotonicNow() + 5 * kMillisecond;
    }
    return;
  }
  recheck_at_ = 0;
  StopListening(&events_fd_);
  BeginDrain();
}

void Monitor::BeginDrain() {
  stage_ = Stage::kDraining;
  drain_limit_ = MonotonicNow() + 10000 * kMillisecond;
  drain_until_ = MonotonicNow() + 2000 * kMillisecond;
  RearmTerminal();
  CheckDrained();
}

void Monitor::CheckDrained() {
  if (state_.stdout_fd < 0 && state_.stderr_fd < 0 && state_.terminal_fd < 0) Finish();
}

void Monitor::Finish() {
  if (stage_ != Stage::kDraining) return;
  drain_until_ = 0;
  log_.Flush(Stream::kStdout);
  log_.Flush(Stream::kStderr);
  OnChildren();  // execs died with the rest: their clients get their own answer
  for (int i = 0; i < exec_end_; ++i) FinishKilledExec(&execs_[i]);
  facts_.oom = FindOomLevel(state_, oom_watch_);
  // Without a record the watchers are not told: the daemon then sees a shim that went without a
  // word, which is what it must assume.
  const bool recorded = WriteExitFile(state_.run_dir_fd, exit_fd_, facts_, state_.boot_id) == 0;
  if (state_.mount_ns_fd >= 0) {
    (void)DetachVolumes(state_.mount_ns_fd, state_.mountinfo_fd, state_.own_mount_ns_fd);
  }
  stage_ = Stage::kEnded;
  if (recorded) TellAll();
  // From here on nobody waits: the overlay's own teardown may take its time. The table's fd pins
  // the namespace as the namespace's own does.
  CloseFd(&state_.mountinfo_fd);
  CloseFd(&state_.mount_ns_fd);
}

void Monitor::TellAll() {
  for (int i = 0; i < kMaxConnections; ++i) {
    if (!connections_[i].used) continue;
    if (connections_[i].waiting == Op::kWatch) AnswerCode(i, Op::kWatch, Code::kOk);
  }
}

}  // namespace berth::shim::monitor
