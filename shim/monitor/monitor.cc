#include "shim/monitor/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

#include "shim/monitor/idle.h"
#include "shim/monitor/loop.h"

namespace berth::shim::monitor {
namespace {

constexpr int64_t kSecond = 1000000000;

Monitor g_monitor;

}  // namespace

int64_t MonotonicNow() {
  timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);  // cannot fail for this clock
  return t.tv_sec * kSecond + t.tv_nsec;
}

void CopyText(char* to, uint64_t size, const char* from) {
  const size_t length = strnlen(from, size - 1);
  memcpy(to, from, length);
  to[length] = '\0';
}

void CloseFd(int* fd) {
  if (*fd >= 0) (void)close(*fd);
  *fd = -1;
}

int Run(int state_fd) { return g_monitor.Run(state_fd); }

int Monitor::Run(int state_fd) {
  if (!Load(state_fd) || !Prepare()) return 1;
  idle_at_ = MonotonicNow() + kSecond;
  OnChildren();  // one may have ended before SIGCHLD was watched for
  while (stage_ != Stage::kEnded) {
    // One event a turn: handling it may close what another one of the same batch is about.
    epoll_event event;
    const int n = epoll_wait(epoll_fd_, &event, 1, NextTimeout());
    if (n < 0 && errno != EINTR) return 1;
    if (n > 0) {
      Dispatch(static_cast<Source>(event.data.u64 >> 32), static_cast<uint32_t>(event.data.u64));
      idle_at_ = MonotonicNow() + kSecond;
    }
    OnTime();
  }
  return 0;
}

bool Monitor::Load(int state_fd) {
  const ssize_t size = sizeof state_;
  if (pread(state_fd, &state_, size, 0) != size) return false;
  (void)close(state_fd);
  return state_.version == kStateVersion && state_.cgroup_v1_count >= 0 &&
         state_.cgroup_v1_count <= kMaxCgroupV1;
}

bool Monitor::Prepare() {
  // They came through an execve; an exec into the container must not inherit them.
  (void)syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC, Linux 5.11 */);
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return false;
  for (int signal_number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGXFSZ}) {
    (void)signal(signal_number, SIG_IGN);
  }
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the monitor has one thread
  if (sigprocmask(SIG_SETMASK, &children, nullptr) != 0) return false;
  log_.SetLimits(state_.log_limits);
  log_.Open(state_.log_fd);
  StartOomWatch(state_, &oom_watch_);
  events_fd_ = -1;
  exit_fd_ = ReserveExitFile(state_.run_dir_fd);
  spare_fd_ = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  children_fd_ = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  if (epoll_fd_ < 0 || children_fd_ < 0) return false;
  for (Stream stream : {Stream::kStdout, Stream::kStderr}) {
    const int fd = stream == Stream::kStdout ? state_.stdout_fd : state_.stderr_fd;
    if (fd < 0) continue;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return false;
    if (!Listen(fd, EPOLLIN, Source::kOutput, static_cast<uint32_t>(stream))) return false;
  }
  if (state_.terminal_fd >= 0 && !ListenToTerminal()) return false;
  return fcntl(state_.listen_fd, F_SETFL, O_NONBLOCK) == 0 &&
         Listen(children_fd_, EPOLLIN, Source::kChildren, 0) &&
         Listen(state_.listen_fd, EPOLLIN, Source::kListenSocket, 0);
}

bool Monitor::Listen(int fd, uint32_t events, Source source, uint32_t index) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = static_cast<uint64_t>(source) << 32 | index;
  return epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0;
}

// Closing alone would not do: until its execve an exec's child has copies of all descriptors, and
// events of the closed one would go on arriving for whoever has its index by then.
void Monitor::StopListening(int* fd) {
  if (*fd >= 0) (void)epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, *fd, nullptr);  // ENOENT: it was not in
  CloseFd(fd);
}

void Monitor::Dispatch(Source source, uint32_t index) {
  switch (source) {
    case Source::kListenSocket:
      return OnListen();
    case Source::kChildren:
      return OnChildren();
    case Source::kConnection:
      return OnConnection(static_cast<int>(index));
    case Source::kOutput:
      return OnOutput(static_cast<Stream>(index));
    case Source::kTerminal:
      return OnTerminal();
    case Source::kReport:
      return OnReport();
    case Source::kCgroup:
      return CheckEmpty();
    case Source::kExecGroup:
      return FinishKilledExec(&execs_[index]);
    case Source::kExecListener:
      return OnExecListener(&execs_[index]);
  }
}

int Monitor::NextTimeout() const {
  int64_t next = INT64_MAX;
  const int64_t times[] = {idle_at_, recheck_at_, exec_recheck_at_, drain_until_};
  for (int64_t t : times) {
    if (t != 0 && t < next) next = t;
  }
  for (int i = 0; exec_count_ > 0 && i < exec_end_; ++i) {
    const Exec& exec = execs_[i];
    if (exec.used && !exec.killed && exec.deadline != 0 && exec.deadline < next) {
      next = exec.deadline;
    }
  }
  if (next == INT64_MAX) return -1;
  const int64_t wait = next - MonotonicNow();
  // Rounded up, so that the time has come when epoll_wait returns; an hour is as good as for ever.
  return wait <= 0
             ? 0
             : static_cast<int>((wait < 3600 * kSecond ? wait : 3600 * kSecond) / 1000000 + 1);
}

void Monitor::OnTime() {
  if (idle_at_ == 0 && recheck_at_ == 0 && drain_until_ == 0 && exec_count_ == 0) return;
  const int64_t now = MonotonicNow();
  if (idle_at_ != 0 && now >= idle_at_) {
    idle_at_ = 0;
    log_.ReportDrops();
    log_.ReleaseMemory();
    ReleaseProgramAndStack();
  }
  for (int i = 0; exec_count_ > 0 && i < exec_end_; ++i) {
    Exec& exec = execs_[i];
    if (exec.used && !exec.killed && exec.deadline != 0 && now >= exec.deadline) KillExec(&exec);
  }
  if (exec_recheck_at_ != 0 && now >= exec_recheck_at_) RecheckExecs();
  if (recheck_at_ != 0 && now >= recheck_at_) CheckEmpty();
  if (drain_until_ != 0 && now >= drain_until_) Finish();
}

void Monitor::OnOutput(Stream stream) {
  const int fd = stream == Stream::kStdout ? state_.stdout_fd : state_.stderr_fd;
  switch (log_.Pump(stream, fd)) {
    case LogWriter::Pumped::kEmpty:
      return;
    case LogWriter::Pumped::kData:
      return NoteOutput();
    case LogWriter::Pumped::kEnd:
      CloseOutput(stream);
      if (stage_ == Stage::kDraining) CheckDrained();
      return;
  }
}

void Monitor::NoteOutput() {
  if (drain_until_ == 0) return;
  const int64_t quiet = MonotonicNow() + 2 * kSecond;
  drain_until_ = quiet < drain_limit_ ? quiet : drain_limit_;
}

void Monitor::CloseOutput(Stream stream) {
  StopListening(stream == Stream::kStdout ? &state_.stdout_fd : &state_.stderr_fd);
}

// The only place that reaps: the container's first process, execs, and, as a subreaper, what they
// orphan where the container shares a PID namespace. SIGCHLDs coalesce, hence the loop.
void Monitor::OnChildren() {
  signalfd_siginfo info;
  while (read(children_fd_, &info, sizeof info) > 0) {
  }
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0;) {
    if (pid == state_.init_pid) {
      OnInitEnded(status);
    } else if (Exec* exec = FindExec(pid); exec != nullptr) {
      OnExecReaped(exec, status);
    }
  }
}

}  // namespace berth::shim::monitor
