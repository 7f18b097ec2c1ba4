// Client: what the daemon asks of a running shim. Each call makes a connection of its own to the
// shim's socket in the container's run directory, so no call waits behind another and closing the
// connection cancels the call (an exec is then killed). Thread-safe: immutable.
// Unavailable: no shim answers there. DeadlineExceeded: it did not answer in time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/os/unique_fd.h"
#include "shim/console.h"

namespace berth::shim {

// Something of the container was killed for want of memory: at whose limit.
enum class OomLevel {
  kNone = 0,
  kContainer = 1,
  kPod = 2,
  kNode = 3,     // a limit above the pod's, or the host had no memory left
  kUnknown = 4,  // says a shim of 0.1.0
};

// How a container ended; written by the shim to <run dir>/exit before it tells anyone.
struct ExitRecord {
  int exit_code = 0;        // 0..255; 128 + signal when killed by one
  int signal = 0;           // 0 = exited by itself
  int64_t finished_at = 0;  // wall clock, nanoseconds
  OomLevel oom = OomLevel::kNone;
};

enum class ShimPhase { kCreated, kRunning, kExited };

struct ShimState {
  ShimPhase phase = ShimPhase::kCreated;
  pid_t init_pid = -1;
  std::optional<ExitRecord> exit;
  uint64_t log_bytes = 0;
  uint64_t log_lines_dropped = 0;
  uint64_t log_bytes_dropped = 0;  // of text
};

struct ExecOptions {
  std::vector<std::string> args;
  absl::Duration timeout = absl::InfiniteDuration();
  size_t output_limit = 16 << 20;  // of each stream; the rest is read and dropped
  // After the exit, how long a grandchild may hold the pipes open before the call returns.
  absl::Duration drain_limit = absl::Milliseconds(250);
  const Cancel* cancel = nullptr;  // borrowed for the call
};

struct ExecOutput {
  int exit_code = 0;
  std::string standard_output;
  std::string standard_error;
};

// An exec with a terminal under way. Destroyed or hung up on, it ends the process and all that it
// started. Not thread-safe.
class TerminalExec {
 public:
  TerminalExec(os::UniqueFd master, os::UniqueFd connection)
      : master_(std::move(master)), connection_(std::move(connection)) {}

  // The pty's master: what the process reads and writes, and what is resized (shim/console.h). EIO
  // once no process has the terminal open; what was written before is read first.
  int master() const { return master_.get(); }
  // Becomes readable when the process has ended: then Wait() is at once.
  int connection() const { return connection_.get(); }
  // The exit code, 128 + signal when killed by one. FailedPrecondition: "exec /bin/x: No such file
  // or directory". DeadlineExceeded: the limit that was set for the exec, or `deadline`.
  absl::StatusOr<int> Wait(Deadline deadline) const;

 private:
  os::UniqueFd master_;
  os::UniqueFd connection_;
};

class Client {
 public:
  explicit Client(std::string run_dir) : run_dir_(std::move(run_dir)) {}

  absl::StatusOr<ShimState> State(Deadline deadline) const;
  // Opens the gate. OK once execve succeeded. FailedPrecondition: already started or exited.
  // NotFound/PermissionDenied/InvalidArgument-like exec failures come as FailedPrecondition with
  // "exec /bin/x: No such file or directory".
  absl::Status Start(Deadline deadline) const;
  // To the first process. An exited container is success.
  absl::Status Signal(int signo, Deadline deadline) const;
  // SIGKILL to everything in the container's cgroup.
  absl::Status KillAll(Deadline deadline) const;
  // DeadlineExceeded after options.timeout: everything that the exec started is dead and reaped
  // by then. Cancelled when options.cancel is set: all of it is being killed. FailedPrecondition:
  // not running.
  absl::StatusOr<ExecOutput> ExecSync(const ExecOptions& options) const;
  // Starts `args` with a terminal of its own; its process runs when this returns, or has failed,
  // which Wait() tells. `limit`: after it everything that the exec started is killed.
  // FailedPrecondition: not running.
  absl::StatusOr<TerminalExec> ExecTerminal(const std::vector<std::string>& args,
                                            absl::Duration limit, Deadline deadline) const;
  // Of the container's own terminal. FailedPrecondition: it has none, or has ended.
  absl::Status Resize(WindowSize size, Deadline deadline) const;
  // Switches the log to a new file; no line is lost or torn.
  absl::Status ReopenLog(os::UniqueFd log, Deadline deadline) const;

  // A connection that becomes readable when the container has ended (read the exit record then),
  // and hangs up when the shim is gone.
  absl::StatusOr<os::UniqueFd> Watch(Deadline deadline) const;

  // The exit record, believed only when its boot id is `boot_id`. nullopt: none is there.
  // DataLoss: one is there and does not parse.
  absl::StatusOr<std::optional<ExitRecord>> ReadExit(absl::string_view boot_id) const;

 private:
  std::string run_dir_;
};

}  // namespace berth::shim
