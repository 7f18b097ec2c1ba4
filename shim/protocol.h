// What the daemon and a shim say to each other: one fixed-size packet each way over SOCK_SEQPACKET,
// file descriptors by SCM_RIGHTS. Plain data for both sides: no Abseil here. Same host, same
// architecture, so native byte order. Documented in docs/formats/shim-protocol.md.
#pragma once

#include <stdint.h>

namespace berth::shim::protocol {

constexpr uint32_t kVersion = 1;
constexpr char kSocketName[] = "shim.sock";
constexpr int kMaxFds = 3;
// An argument memfd: what execve itself could take, and not more.
constexpr uint64_t kMaxArgumentBytes = 4 << 20;
constexpr uint32_t kMaxArguments = 65536;

enum class Op : uint32_t {
  kState = 1,
  kWatch = 2,   // answered at once, and again when the container has ended
  kStart = 3,   // answered when execve succeeded or failed
  kSignal = 4,  // argument = signal number
  kKillAll = 5,
  kExec = 6,       // fds: arguments memfd, stdout, stderr; answered when the process is reaped
  kReopenLog = 7,  // fd: the new log
  kResize = 8,     // of the container's terminal
};

struct Request {
  uint32_t version;
  uint32_t op;
  int32_t argument;     // kSignal: number; kExec: count of arguments; kResize: rows << 16 | columns
  uint32_t flags;       // kExec: ExecFlag; else 0
  uint64_t timeout_ms;  // kExec; 0 = none
};
static_assert(sizeof(Request) == 24);

enum ExecFlag : uint32_t {
  // fds: arguments memfd, a connected stream socket to whose other end the master of the terminal
  // is sent once it is made. Who has that resizes it, reads and writes it.
  kExecTerminal = 1,
};

// The arguments memfd, sealed (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE): `argument` 64-bit
// offsets from the beginning of the file, one 0, then the strings, each NUL-terminated.

enum class Code : int32_t {
  kOk = 0,
  kBadRequest = 1,  // size, version, op, fds or arguments are not as this page says
  kWrongPhase = 2,  // `phase` says which one it is
  kExecFailed = 3,  // execve or a step before it: step, error, detail
  kTooMany = 4,     // connections or execs
  kTimedOut = 5,    // kExec: killed, everything it started is gone
  kFailed = 6,      // step, error
  kPaused = 7,      // kExec: the container is frozen
  kNoTerminal = 8,  // kResize
};

enum class Phase : uint32_t { kCreated = 0, kRunning = 1, kExited = 2 };

struct Reply {
  uint32_t version;
  uint32_t op;
  int32_t code;
  uint32_t phase;
  int32_t error;  // errno of kExecFailed and kFailed
  int32_t init_pid;
  int32_t exit_code;  // of the exec; of the container when phase is kExited
  int32_t signal;
  int64_t finished_at;  // wall clock, nanoseconds
  uint64_t log_bytes;
  uint64_t log_lines_dropped;
  uint32_t oom_killed;  // 0: no; at whose limit: 1 the container's, 2 its pod's, 3 the node's
  uint32_t reserved;
  char step[56];               // NUL-terminated
  uint64_t log_bytes_dropped;  // shims of 0.1.0 leave it 0
  char detail[256];            // NUL-terminated
};
static_assert(sizeof(Reply) == 384);

}  // namespace berth::shim::protocol
