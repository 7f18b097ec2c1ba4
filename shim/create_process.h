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
    bool terminal = false;    // instead of the three pipes
    int console_socket = -1;  // where its master is sent; -1: it comes to ReceiveTerminal
    WindowSize size;
  };

  // clone3 into the namespaces of the plan and, when cgroup_fd >= 0, into that v2 group. The caller
  // is single-threaded.
  static absl::StatusOr<FirstProcess> Start(const std::string& process_plan,
                                            const std::string& setup_plan,
                                            const NamespacePlan& namespaces, int cgroup_fd,
                                            const Stdio& stdio);
  FirstProcess(FirstProcess&& other) noexcept;
  FirstProcess& operator=(FirstProcess&&) = delete;
  ~FirstProcess();

  // Waits until it stands at the gate, with the listener of its filter, where it has one, at the
  // agent; then moves the plan's network devices to it. Its failure comes back as "step: object:
  // cause": InvalidArgument when the spec or the image is at fault.
  absl::Status AwaitGate(const ListenerAgent& agent) const;
  // At the gate it has sent the master of its terminal.
  absl::StatusOr<os::UniqueFd> ReceiveTerminal() const;

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }
  const Pipes& pipes() const { return pipes_; }
  // It lives on: from now on it belongs to whoever holds the gate.
  void Release() { pid_ = -1; }

 private:
  FirstProcess() = default;

  absl::Status MoveDevices() const;

  pid_t pid_ = -1;
  std::map<std::string, std::string> net_devices_;
  os::UniqueFd pidfd_;
  Pipes pipes_;
};

}  // namespace berth::shim
