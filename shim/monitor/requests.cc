#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/monitor/cgroup.h"
#include "shim/monitor/loop.h"

namespace berth::shim::monitor {
namespace {

using protocol::Code;
using protocol::Op;
using protocol::Phase;
using protocol::Reply;
using protocol::Request;

Phase PhaseOf(Stage stage, bool was_started) {
  switch (stage) {
    case Stage::kCreated:
    case Stage::kStarting:
      return Phase::kCreated;
    case Stage::kRunning:
      return Phase::kRunning;
    case Stage::kEmptying:
    case Stage::kDraining:
      return was_started ? Phase::kRunning : Phase::kCreated;
    case Stage::kEnded:
      return Phase::kExited;
  }
  return Phase::kExited;
}

bool IsRoot(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
}

// True when the default action of the signal does not end a process.
bool IsHarmless(int signal_number) {
  switch (signal_number) {
    case 0:
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Monitor::OnListen() {
  int fd = accept4(state_.listen_fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0 && (errno == EMFILE || errno == ENFILE) && spare_fd_ >= 0) {
    // Hang up on the caller, or the socket would stay readable and the loop spin.
    CloseFd(&spare_fd_);
    fd = accept4(state_.listen_fd, nullptr, nullptr, SOCK_CLOEXEC);
    CloseFd(&fd);
    spare_fd_ = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
  }
  if (fd < 0) return;
  int index = 0;
  while (index < kMaxConnections && connections_[index].used) ++index;
  if (!IsRoot(fd) || index == kMaxConnections || !Listen(fd, EPOLLIN, Source::kConnection, index)) {
    (void)close(fd);
    return;
  }
  connections_[index] = Connection{true, fd, Op{}, -1};
}

void Monitor::OnConnection(int index) {
  Connection& connection = connections_[index];
  // Hung up, or talks while its answer is due: what it waited for is cancelled.
  if (connection.waiting != Op{}) return CloseConnection(index);
  Received received{};
  if (!Receive(connection.fd, &received)) {
    CloseConnection(index);
  } else {
    Handle(index, &received);
  }
  for (int i = 0; i < received.fd_count; ++i) CloseFd(&received.fds[i]);
}

// False: hung up, or not a request of this protocol. The fds are the caller's in any case.
bool Monitor::Receive(int fd, Received* received) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof received->fds)];
  iovec data{&received->request, sizeof received->request};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;  // version 0: see Handle
  if (n < 0) return false;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    // The control buffer has room for kMaxFds; more were cut off by the kernel.
    received->fd_count = static_cast<int>((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(received->fds, CMSG_DATA(c), received->fd_count * sizeof(int));
  }
  return n == sizeof(Request) && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 &&
         received->request.version == protocol::kVersion;
}

void Monitor::Handle(int index, Received* received) {
  const Request& request = received->request;
  if (request.version == 0) return;  // woken for nothing
  const Op op = static_cast<Op>(request.op);
  switch (op) {
    case Op::kState:
      return AnswerCode(index, op, Code::kOk);
    case Op::kWatch:
      AnswerCode(index, op, Code::kOk);
      if (connections_[index].used) connections_[index].waiting = op;
      return;
    case Op::kStart:
      return HandleStart(index);
    case Op::kSignal:
      return HandleSignal(index, request.argument);
    case Op::kKillAll:
      KillCgroup(state_);
      return AnswerCode(index, op, Code::kOk);
    case Op::kExec:
      return HandleExec(index, received);
    case Op::kReopenLog:
      return HandleReopen(index, received);
    case Op::kResize:
      return HandleResize(index, static_cast<uint32_t>(request.argument));
  }
  AnswerCode(index, op, Code::kBadRequest);
}

void Monitor::HandleStart(int index) {
  if (stage_ != Stage::kCreated) return AnswerCode(index, Op::kStart, Code::kWrongPhase);
  if (!Listen(state_.report_fd, EPOLLIN, Source::kReport, 0)) {
    return AnswerError(index, Op::kStart, "watch the first process", errno);
  }
  stage_ = Stage::kStarting;
  connections_[index].waiting = Op::kStart;
  // A first process that was killed at the gate shows as the end of its report.
  (void)!write(state_.gate_fd, "1", 1);
  CloseFd(&state_.gate_fd);
}

// The report pipe's other end is close-on-exec: its end without a word means that execve succeeded.
void Monitor::OnReport() {
  if (state_.report_fd < 0) return;
  child::ChildFailure failure;
  start_failed_ = read(state_.report_fd, &failure, sizeof failure) == sizeof failure;
  StopListening(&state_.report_fd);
  if (start_failed_) {
    start_failure_ = failure;
  } else if (stage_ == Stage::kStarting) {
    stage_ = Stage::kRunning;
  }
  for (int i = 0; i < kMaxConnections; ++i) {
    if (!connections_[i].used || connections_[i].waiting != Op::kStart) continue;
    connections_[i].waiting = Op{};
    if (start_failed_) {
      AnswerFailure(i, Op::kStart, failure);
    } else {
      AnswerCode(i, Op::kStart, Code::kOk);
    }
  }
}

void Monitor::HandleSignal(int index, int signal_number) {
  if (stage_ > Stage::kRunning) return AnswerCode(index, Op::kSignal, Code::kOk);
  // Before execve the first process has no handlers, and the kernel spares a PID 1 without one.
  if (stage_ == Stage::kCreated && !IsHarmless(signal_number)) signal_number = SIGKILL;
  if (syscall(SYS_pidfd_send_signal, state_.init_pidfd, signal_number, nullptr, 0) != 0 &&
      errno != ESRCH) {
    return AnswerError(index, Op::kSignal, "send signal", errno);
  }
  if (signal_number == SIGKILL) ThawV1(state_);
  AnswerCode(index, Op::kSignal, Code::kOk);
}

void Monitor::HandleReopen(int index, Received* received) {
  if (received->fd_count != 1) return AnswerCode(index, Op::kReopenLog, Code::kBadRequest);
  log_.Reopen(received->fds[0]);
  received->fd_count = 0;  // taken
  AnswerCode(index, Op::kReopenLog, Code::kOk);
}

void Monitor::Answer(int index, Reply* reply, Op op) {
  reply->version = protocol::kVersion;
  reply->op = static_cast<uint32_t>(op);
  reply->init_pid = state_.init_pid;
  reply->phase = static_cast<uint32_t>(PhaseOf(stage_, state_.gate_fd < 0 && !start_failed_));
  reply->log_bytes = log_.bytes_written();
  reply->log_lines_dropped = log_.lines_dropped();
  reply->log_bytes_dropped = log_.bytes_dropped();
  if (stage_ == Stage::kEnded && op != Op::kExec) {
    reply->exit_code = facts_.exit_code;
    reply->signal = facts_.signal;
    reply->finished_at = facts_.finished_at;
    reply->oom_killed = static_cast<uint32_t>(facts_.oom);
  }
  // One packet fits into any socket buffer: a client that let replies pile up is gone or hostile.
  if (send(connections_[index].fd, reply, sizeof *reply, MSG_DONTWAIT | MSG_NOSIGNAL) !=
      sizeof *reply) {
    CloseConnection(index);
  }
}

void Monitor::AnswerCode(int index, Op op, Code code) {
  Reply reply{};
  reply.code = static_cast<int32_t>(code);
  Answer(index, &reply, op);
}

void Monitor::AnswerError(int index, Op op, const char* step, int error) {
  Reply reply{};
  reply.code = static_cast<int32_t>(Code::kFailed);
  reply.error = error;
  CopyText(reply.step, sizeof reply.step, step);
  Answer(index, &reply, op);
}

void Monitor::AnswerFailure(int index, Op op, const child::ChildFailure& failure) {
  Reply reply{};
  reply.code = static_cast<int32_t>(Code::kExecFailed);
  reply.error = failure.error;
  CopyText(reply.step, sizeof reply.step, child::StepName(failure.step));
  CopyText(reply.detail, sizeof failure.detail, failure.detail);
  Answer(index, &reply, op);
}

void Monitor::CloseConnection(int index) {
  Connection& connection = connections_[index];
  if (!connection.used) return;
  const bool ran = connection.waiting == Op::kExec;
  Exec* exec = ran ? &execs_[connection.exec] : nullptr;
  StopListening(&connection.fd);
  connection.used = false;
  if (exec == nullptr || !exec->used) return;
  exec->connection = -1;
  if (!exec->killed) KillExec(exec);
}

}  // namespace berth::shim::monitor
