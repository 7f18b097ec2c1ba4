// Monitor: the one epoll loop behind Run(). Its methods live in monitor.cc (set-up, loop, stdio),
// terminal.cc, requests.cc (connections and what is asked over them), execs.cc and ending.cc.
//
//   kCreated --Start--> kStarting --report: EOF--> kRunning
//       |                  |                          |
//       +------------------+------ init reaped -------+
//                          v
//                      kEmptying   the rest is killed, until the cgroup is empty
//                          v
//                      kDraining   stdio is read to its end, at most 2 s without data
//                          v
//                      kEnded      record on disk, volumes detached, watchers told
//
// One instance, in zeroed static memory: zero must be a valid "nothing" for every member.
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "shim/child/exec.h"
#include "shim/monitor/exit_file.h"
#include "shim/monitor/log_writer.h"
#include "shim/monitor/oom.h"
#include "shim/monitor/state.h"
#include "shim/protocol.h"

namespace berth::shim::monitor {

constexpr int kMaxExecs = 256;
constexpr int kMaxConnections = kMaxExecs + 64;
constexpr int kMaxLeftGroups = 64;

enum class Stage : uint8_t { kCreated, kStarting, kRunning, kEmptying, kDraining, kEnded };

// What an epoll event is about, and what its index counts.
enum class Source : uint32_t {
  kListenSocket,
  kChildren,
  kConnection,  // connections_
  kOutput,      // Stream
  kTerminal,
  kReport,
  kCgroup,
  kExecGroup,     // execs_
  kExecListener,  // execs_
};

struct Connection {
  bool used;
  int32_t fd;
  protocol::Op waiting;  // 0: nothing is under way on it
  int32_t exec;          // with kExec
};

struct Exec {
  bool used;
  bool reaped;
  bool killed;         // by its time or by its client
  int32_t connection;  // -1: nobody waits
  pid_t pid;
  int32_t pidfd;
  int32_t report_fd;
  int32_t group_fd;  // -1: none
  int32_t events_fd;
  int32_t gate_fd;            // open until its seccomp listener is with the agent; -1: it has none
  int32_t handover_error;     // why its listener is not with the agent, an errno
  const char* handover_step;  // a literal
  uint32_t group_number;
  int64_t deadline;  // CLOCK_MONOTONIC nanoseconds, 0: none
  void* arguments;
  uint64_t arguments_size;
};

// What a request brought along.
struct Received {
  protocol::Request request;
  int fds[protocol::kMaxFds];
  int fd_count;
};

class Monitor {
 public:
  int Run(int state_fd);

 private:
  // monitor.cc
  bool Load(int state_fd);
  bool Prepare();
  bool Listen(int fd, uint32_t events, Source source, uint32_t index);
  void StopListening(int* fd);
  void Dispatch(Source source, uint32_t index);
  int NextTimeout() const;
  void OnTime();
  void OnOutput(Stream stream);
  void CloseOutput(Stream stream);
  void NoteOutput();
  void OnChildren();

  // terminal.cc
  bool ListenToTerminal();
  void OnTerminal();
  void RearmTerminal();
  void HandleResize(int index, uint32_t size);

  // requests.cc
  void OnListen();
  void OnConnection(int index);
  bool Receive(int fd, Received* received);
  void Handle(int index, Received* received);
  void HandleStart(int index);
  void HandleSignal(int index, int signal);
  void HandleReopen(int index, Received* received);
  void OnReport();
  void Answer(int index, protocol::Reply* reply, protocol::Op op);
  void AnswerCode(int index, protocol::Op op, protocol::Code code);
  void AnswerError(int index, protocol::Op op, const char* step, int error);
  void AnswerFailure(int index, protocol::Op op, const child::ChildFailure& failure);
  void CloseConnection(int index);

  // execs.cc
  void HandleExec(int index, Received* received);
  int StartExec(Exec* exec, char* const* argv, const Received& received);
  void OnExecListener(Exec* exec);
  int HandOverListener(const Exec& exec, int listener, const char** step);
  void KillExec(Exec* exec);
  void OnExecReaped(Exec* exec, int status);
  void FinishKilledExec(Exec* exec);
  void RecheckExecs();
  bool IsGroupAlive(Exec* exec);
  void ReleaseExec(Exec* exec);
  void SweepGroups();
  Exec* FindExec(pid_t pid);
  bool OpenTasks();

  // ending.cc
  void OnInitEnded(int status);
  void CheckEmpty();
  void BeginDrain();
  void CheckDrained();
  void Finish();
  void TellAll();

  MonitorState state_;
  Stage stage_;
  bool start_failed_;
  child::ChildFailure start_failure_;
  ExitFacts facts_;
  OomWatch oom_watch_;
  int exit_fd_;  // reserved
  int epoll_fd_;
  int children_fd_;  // signalfd of SIGCHLD
  int spare_fd_;     // given up to refuse a connection when there are no fds left
  int events_fd_;    // cgroup.events of the container, while it is being emptied
  int tasks_fds_[kMaxCgroupV1];
  bool tasks_open_;
  int exec_count_;
  int exec_end_;  // slots at and above were never used
  uint32_t last_group_;
  uint32_t left_groups_[kMaxLeftGroups];  // exec groups in which something still runs
  int left_group_count_;
  int64_t idle_at_;          // give buffers back; 0: not set
  int64_t recheck_at_;       // look again whether the cgroup is empty (v1 cannot tell)
  int64_t exec_recheck_at_;  // the same, for groups of killed execs
  int64_t drain_until_;
  int64_t drain_limit_;
  Exec execs_[kMaxExecs];
  Connection connections_[kMaxConnections];
  LogWriter log_;
};

int64_t MonotonicNow();
// Copies with NUL, cut to fit.
void CopyText(char* to, uint64_t size, const char* from);
void CloseFd(int* fd);

}  // namespace berth::shim::monitor
