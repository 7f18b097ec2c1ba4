#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/child/listener.h"
#include "shim/child/plan.h"
#include "shim/child/report.h"
#include "shim/monitor/cgroup.h"
#include "shim/monitor/loop.h"

namespace berth::shim::monitor {
namespace {

using protocol::Code;
using protocol::Op;
using protocol::Reply;

constexpr int64_t kMillisecond = 1000000;

// Maps the arguments memfd and turns its offsets into pointers, in a private copy. nullptr when
// it is not what protocol.h says.
char** MapArguments(int fd, int64_t count, uint64_t* size) {
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  struct stat st;
  if (count < 1 || count > protocol::kMaxArguments || fstat(fd, &st) != 0) return nullptr;
  // Unsealed, it could be cut while it is mapped, and reading it would be SIGBUS.
  if ((fcntl(fd, F_GET_SEALS) & kSeals) != kSeals) return nullptr;
  const uint64_t table = (static_cast<uint64_t>(count) + 1) * sizeof(char*);
  *size = static_cast<uint64_t>(st.st_size);
  if (*size <= table || *size > protocol::kMaxArgumentBytes) return nullptr;
  void* map = mmap(nullptr, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (map == MAP_FAILED) return nullptr;
  char* const base = static_cast<char*>(map);
  uint64_t* const offsets = static_cast<uint64_t*>(map);
  char** const argv = static_cast<char**>(map);
  bool ok = base[*size - 1] == '\0' && offsets[count] == 0;
  for (int64_t i = 0; ok && i < count; ++i) {
    ok = offsets[i] >= table && offsets[i] < *size;
    if (ok) argv[i] = base + offsets[i];
  }
  if (ok) return argv;
  (void)munmap(map, *size);
  return nullptr;
}

bool HasItsFds(const Received& received) {
  const uint32_t flags = received.request.flags;
  if (flags == protocol::kExecTerminal) return received.fd_count == 2;
  return flags == 0 && received.fd_count == protocol::kMaxFds;
}

}  // namespace

Exec* Monitor::FindExec(pid_t pid) {
  for (int i = 0; i < exec_end_; ++i) {
    if (execs_[i].used && !execs_[i].reaped && execs_[i].pid == pid) return &execs_[i];
  }
  return nullptr;
}

bool Monitor::OpenTasks() {
  if (tasks_open_) return true;
  for (int i = 0; i < state_.cgroup_v1_count; ++i) {
    tasks_fds_[i] = openat(state_.cgroup_v1_fds[i], "tasks", O_WRONLY | O_CLOEXEC);
    if (tasks_fds_[i] >= 0) continue;
    const int error = errno;
    while (--i >= 0) CloseFd(&tasks_fds_[i]);
    errno = error;
    return false;
  }
  tasks_open_ = true;
  return true;
}

void Monitor::HandleExec(int index, Received* received) {
  if (stage_ != Stage::kRunning) return AnswerCode(index, Op::kExec, Code::kWrongPhase);
  // It would stand still before its first instruction.
  if (IsFrozen(state_)) return AnswerCode(index, Op::kExec, Code::kPaused);
  int slot = 0;
  while (slot < kMaxExecs && execs_[slot].used) ++slot;
  if (slot == kMaxExecs) return AnswerCode(index, Op::kExec, Code::kTooMany);
  uint64_t size = 0;
  char** argv = HasItsFds(*received)
                    ? MapArguments(received->fds[0], received->request.argument, &size)
                    : nullptr;
  if (argv == nullptr) return AnswerCode(index, Op::kExec, Code::kBadRequest);

  SweepGroups();
  Exec& exec = execs_[slot];
  exec = Exec{};
  exec.arguments = argv;
  exec.arguments_size = size;
  exec.pidfd = exec.report_fd = exec.group_fd = exec.events_fd = exec.gate_fd = -1;
  if (const int error = StartExec(&exec, argv, *received); error != 0) {
    ReleaseExec(&exec);
    // The first process has ended and is not reaped yet.
    if (error == ESRCH) return AnswerCode(index, Op::kExec, Code::kWrongPhase);
    return AnswerError(index, Op::kExec, "start process", error);
  }
  const uint64_t timeout_ms = received->request.timeout_ms;
  // Past a century no deadline is meant, and the sum could overflow.
  if (timeout_ms != 0 && timeout_ms < 100ULL * 365 * 86400 * 1000) {
    exec.deadline = MonotonicNow() + static_cast<int64_t>(timeout_ms) * 1000000;
  }
  exec.used = true;
  exec.connection = index;
  ++exec_count_;
  if (slot >= exec_end_) exec_end_ = slot + 1;
  connections_[index].waiting = Op::kExec;
  connections_[index].exec = slot;
}

int Monitor::StartExec(Exec* exec, char* const* argv, const Received& received) {
  struct stat st;
  if (!OpenTasks() || fstat(state_.plan_fd, &st) != 0) return errno;
  void* plan = mmap(nullptr, st.st_size, PROT_READ, MAP_PRIVATE, state_.plan_fd, 0);
  if (plan == MAP_FAILED) return errno;
  const ExecGroup group = MakeExecGroup(ExecParent(state_), &last_group_);
  exec->group_fd = group.fd;
  exec->group_number = group.number;
  int tasks_fds[kMaxCgroupV1];
  memcpy(tasks_fds, tasks_fds_, sizeof tasks_fds);
  const bool is_v1 = state_.cgroup_v2_fd < 0;
  int group_tasks = -1;
  if (is_v1 && group.fd >= 0) {
    group_tasks = openat(group.fd, "tasks", O_WRONLY | O_CLOEXEC);
    if (group_tasks < 0) {
      const int error = errno;
      (void)munmap(plan, st.st_size);
      return error;
    }
    tasks_fds[state_.cgroup_v1_exec] = group_tasks;
  }

  child::ExecRequest request{};
  request.plan = plan;
  request.plan_size = st.st_size;
  request.argv = argv;
  request.stdin_fd = -1;
  if (received.request.flags == protocol::kExecTerminal) {
    request.terminal.socket = received.fds[1];
  } else {
    request.stdout_fd = received.fds[1];
    request.stderr_fd = received.fds[2];
  }
  request.init_pidfd = state_.init_pidfd;
  request.tasks_fds = tasks_fds;
  request.tasks_count = state_.cgroup_v1_count;
  request.cgroup_fd = is_v1 ? -1 : group.fd >= 0 ? group.fd : state_.cgroup_v2_fd;
  child::ExecStarted started{-1, -1, -1, -1};
  const int error = child::StartExec(request, &started);
  CloseFd(&group_tasks);
  (void)munmap(plan, st.st_size);
  exec->pid = started.pid;
  exec->pidfd = started.pidfd;
  exec->report_fd = started.report_fd;
  exec->gate_fd = started.gate_fd;
  if (exec->report_fd >= 0) (void)fcntl(exec->report_fd, F_SETFL, O_NONBLOCK);
  if (exec->gate_fd >= 0) {
    // Unwatched it stays at its gate, which is closed with it: it ends there.
    const uint32_t slot = static_cast<uint32_t>(exec - execs_);
    if (!Listen(exec->report_fd, EPOLLIN, Source::kExecListener, slot)) CloseFd(&exec->gate_fd);
  }
  return error;
}

// Its filter asks an agent: the listener goes there before the process goes on.
void Monitor::OnExecListener(Exec* exec) {
  (void)epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, exec->report_fd, nullptr);
  child::ChildFailure failure;
  // An end of the pipe: it was killed, and is reaped in a moment.
  if (read(exec->report_fd, &failure, sizeof failure) != sizeof failure) return;
  if (failure.step == child::kStepListener) {
    const char* step = "";
    const int error = HandOverListener(*exec, failure.error, &step);
    if (error == 0) {
      // EPIPE: it was killed meanwhile.
      while (write(exec->gate_fd, "g", 1) < 0 && errno == EINTR) {
      }
      return CloseFd(&exec->gate_fd);
    }
    exec->handover_error = error;
    exec->handover_step = step;
    return KillExec(exec);
  }
  const int index = exec->connection;
  exec->connection = -1;
  if (index < 0) return;
  connections_[index].waiting = Op{};
  AnswerFailure(index, Op::kExec, failure);
}

int Monitor::HandOverListener(const Exec& exec, int listener, const char** step) {
  struct stat st;
  if (fstat(state_.plan_fd, &st) != 0) return errno;
  void* map = mmap(nullptr, st.st_size, PROT_READ, MAP_PRIVATE, state_.plan_fd, 0);
  if (map == MAP_FAILED) return errno;
  const child::ProcessPlan* plan = child::AsProcessPlan(map, st.st_size);
  int error = EINVAL;
  if (plan != nullptr) {
    const child::PlanReader reader(plan);
    error = child::HandOverListener(
        {state_.agent_dir_fd, reader.TextAt(plan->listener_path), reader.TextAt(plan->exec_state),
         state_.init_pid, exec.pid, exec.pidfd, listener},
        step);
  }
  (void)munmap(map, st.st_size);
  return error;
}

void Monitor::KillExec(Exec* exec) {
  exec->killed = true;
  if (exec->group_fd >= 0) {
    KillExecGroup(state_, exec->group_fd);
  } else {
    // There is no group that holds just this exec. ESRCH: it has ended by itself.
    (void)syscall(SYS_pidfd_send_signal, exec->pidfd, SIGKILL, nullptr, 0);
  }
}

void Monitor::OnExecReaped(Exec* exec, int status) {
  exec->reaped = true;
  if (exec->killed) return FinishKilledExec(exec);
  const int index = exec->connection;
  child::ChildFailure failure;
  const bool failed = read(exec->report_fd, &failure, sizeof failure) == sizeof failure;
  ReleaseExec(exec);
  if (index < 0) return;
  connections_[index].waiting = Op{};
  if (failed) return AnswerFailure(index, Op::kExec, failure);
  Reply reply{};
  reply.code = static_cast<int32_t>(Code::kOk);
  reply.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  reply.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  Answer(index, &reply, Op::kExec);
}

// Answers once nothing that the exec started lives any more.
void Monitor::FinishKilledExec(Exec* exec) {
  if (!exec->used || !exec->killed || !exec->reaped || IsGroupAlive(exec)) return;
  OnChildren();  // what its death made ours is reaped before the answer, too
  if (!exec->used) return;
  const int index = exec->connection;
  ReleaseExec(exec);
  if (index < 0) return;
  connections_[index].waiting = Op{};
  if (exec->handover_error == 0) return AnswerCode(index, Op::kExec, Code::kTimedOut);
  child::ChildFailure failure{child::kStepListener, exec->handover_error, {}};
  child::Words detail;
  detail.Add("(").Add(exec->handover_step).Add(")");
  CopyText(failure.detail, sizeof failure.detail, detail.c_str());
  AnswerFailure(index, Op::kExec, failure);
}

// v1 has no notification that reaches here: kill what forked meanwhile and look again.
void Monitor::RecheckExecs() {
  exec_recheck_at_ = 0;
  for (int i = 0; i < exec_end_; ++i) {
    Exec& exec = execs_[i];
    if (!exec.used || !exec.killed || !exec.reaped) continue;
    KillExecGroup(state_, exec.group_fd);
    FinishKilledExec(&exec);
  }
}

// From the first call on a change of the answer is an event. (Reading the file arms it.)
bool Monitor::IsGroupAlive(Exec* exec) {
  if (exec->group_fd < 0) return false;
  if (state_.cgroup_v2_fd < 0) {
    if (IsEmptyV1(exec->group_fd)) return false;
    exec_recheck_at_ = MonotonicNow() + 5 * kMillisecond;
    return true;
  }
  if (exec->events_fd < 0) {
    exec->events_fd = OpenEvents(exec->group_fd);
    const uint32_t slot = static_cast<uint32_t>(exec - execs_);
    if (exec->events_fd < 0 || !Listen(exec->events_fd, EPOLLPRI, Source::kExecGroup, slot)) {
      return false;  // no way to wait: SIGKILL was sent, that must do
    }
  }
  return IsPopulated(exec->events_fd);
}

// What the process left running in its group goes on; the group is removed at a later exec, or with
// the container.
void Monitor::ReleaseExec(Exec* exec) {
  if (exec->group_fd >= 0 && !RemoveExecGroup(ExecParent(state_), exec->group_number) &&
      left_group_count_ < kMaxLeftGroups) {
    left_groups_[left_group_count_++] = exec->group_number;
  }
  CloseFd(&exec->group_fd);
  CloseFd(&exec->pidfd);
  CloseFd(&exec->report_fd);
  CloseFd(&exec->gate_fd);
  StopListening(&exec->events_fd);
  if (exec->arguments != nullptr) (void)munmap(exec->arguments, exec->arguments_size);
  exec->arguments = nullptr;
  if (exec->used) --exec_count_;
  exec->used = false;
}

void Monitor::SweepGroups() {
  int kept = 0;
  for (int i = 0; i < left_group_count_; ++i) {
    if (!RemoveExecGroup(ExecParent(state_), left_groups_[i])) {
      left_groups_[kept++] = left_groups_[i];
    }
  }
  left_group_count_ = kept;
}

}  // namespace berth::shim::monitor
