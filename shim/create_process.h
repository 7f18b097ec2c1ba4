// The container's first process from its parent's side: its pipes, its birth, its word that it
// stands at the gate. A handle until Release(): destroyed before, it kills and reaps the process.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/os/unique_fd.h"
#include "shim/console.h"
#include "shim/create_plan.h"
#include "shim/listener_agent.h"

namespace berth::shim {

class FirstProcess {
 public:
  struct Pipes {               // our ends
    os::UniqueFd stdin_write;  // invalid: it reads /dev/null
    os::UniqueFd stdout_read;
    os::UniqueFd stderr_read;
    os::UniqueFd gate_write;
    os::UniqueFd report_read;
    os::UniqueFd console;  // where the master of its terminal comes; invalid: it has none
  };

  struct Stdio {
    bool with_stdin = false;  // a pipe of its own; else /dev/null
    bool inherited = false;   // 0, 1 and 2 of this process instead of pipes
    bool terminal = false;    // instead of all three
    int console_socket = -1;  // where its master is sent; -1: it comes to ReceiveTerminal
    WindowSize size;
  };

  // The ends of a gate and a report that are more than pipes of this process.
  struct Gate {
    os::UniqueFd gate;    // read by the first process
    os::UniqueFd report;  // written by it
    os::UniqueFd gate_write;
    os::UniqueFd report_read;
  };
  static absl::StatusOr<Gate> MakeGate();

  struct Options {
    Stdio stdio;
    Gate gate;              // with nothing in it: MakeGate()'s
    int preserved_fds = 0;  // descriptors from 3 on that it keeps
  };

  // clone3 into the namespaces of the plan and, when cgroup_fd >= 0, into that v2 group. The caller
  // is single-threaded.
  static absl::StatusOr<FirstProcess> Start(const std::string& process_plan,
                                            const std::string& setup_plan,
                                            const NamespacePlan& namespaces, int cgroup_fd,
                                            Options options);
  FirstProcess(FirstProcess&& other) noexcept;
  FirstProcess& operator=(FirstProcess&&) = delete;
  ~FirstProcess();

  // Waits until the setup plan's hooks of the runtime are due. OpenGate lets it go on. Its failure
  // comes back as from AwaitGate.
  absl::Status AwaitHooks() const;
  // Waits until it stands at the gate, with the listener of its filter, where it has one, at the
  // agent; then moves the plan's network devices to it. Its failure comes back as "step: object:
  // cause": InvalidArgument when the spec or the image is at fault.
  absl::Status AwaitGate(const ListenerAgent& agent) const;
  // At the gate it has sent the master of its terminal.
  absl::StatusOr<os::UniqueFd> ReceiveTerminal() const;

  pid_t pid() const { return pid_; }
  // A byte through the gate.
  absl::Status OpenGate() const;
  // What is told after the last OpenGate: nothing once its execve succeeded.
  absl::Status AwaitExec() const;

  int pidfd() const { return pidfd_.get(); }
  const Pipes& pipes() const { return pipes_; }
  // It lives on: from now on it belongs to whoever holds the gate.
  void Release() { pid_ = -1; }

 private:
  FirstProcess() = default;
  absl::Status Await(uint32_t step, const ListenerAgent& agent) const;

  absl::Status MoveDevices() const;

  pid_t pid_ = -1;
  std::map<std::string, std::string> net_devices_;
  os::UniqueFd pidfd_;
  Pipes pipes_;
};

// The two ends of the handshake after the gate, for who has only those: berth-oci's `start`.
absl::Status OpenGate(int gate_write_fd);
absl::Status AwaitExec(int report_read_fd);
// For a process whose filter notifies: its first report, and the listener to the agent.
absl::Status HandOverListener(int report_read_fd, const ListenerAgent& agent, pid_t pid, int pidfd);

}  // namespace berth::shim
