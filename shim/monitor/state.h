// MonitorState: all that the monitor knows, handed from `berth-shim create` through execve in a
// memfd. Plain data, no pointers; the fds stay open across the exec at these numbers.
// Part of the monitor: no Abseil, no JSON, no protobuf here.
#pragma once

#include <stdint.h>

namespace berth::shim::monitor {

constexpr uint32_t kStateVersion = 2;
constexpr int kMaxCgroupV1 = 16;

// What the log may take; 0: no limit.
struct LogLimits {
  uint64_t file_bytes;   // of one log file: until it is reopened, or made shorter
  uint64_t rate_bytes;   // a second, on average
  uint64_t burst_bytes;  // at once
};

struct MonitorState {
  uint32_t version;
  char container_id[65];
  char boot_id[37];
  int32_t init_pid;
  // fds, -1 = none
  int32_t init_pidfd;
  int32_t listen_fd;  // SOCK_SEQPACKET, listening
  int32_t run_dir_fd;
  int32_t stdout_fd;  // read ends of the container's output pipes
  int32_t stderr_fd;
  int32_t stdin_fd;     // write end; -1: the container reads /dev/null
  int32_t terminal_fd;  // the master; with it there are no pipes, and it is written to as stdin is
  int32_t log_fd;
  int32_t gate_fd;          // write one byte: the first process goes on to execve
  int32_t report_fd;        // read end: a ChildFailure, or EOF once execve succeeded
  int32_t mount_ns_fd;      // the container's mount namespace
  int32_t mountinfo_fd;     // /proc/<init>/mountinfo, opened after the root was pivoted
  int32_t own_mount_ns_fd;  // the holder namespace, to come back to
  int32_t plan_fd;          // <run dir>/process.plan: shim/child/plan.h, for exec
  int32_t agent_dir_fd;     // where the socket of the seccomp agent lies; -1: it has none
  int32_t cgroup_v2_fd;     // directories of the container's cgroup
  int32_t cgroup_v1_fds[kMaxCgroupV1];
  int32_t cgroup_v1_count;
  int32_t cgroup_v1_memory;  // index of the memory hierarchy in cgroup_v1_fds, -1 = none
  int32_t cgroup_v1_exec;    // pure v1: of the one in which execs have groups, -1 = none
  LogLimits log_limits;
  uint8_t private_pid_namespace;  // 1: when init ends the kernel kills the rest
};

}  // namespace berth::shim::monitor
