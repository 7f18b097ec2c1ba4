#include "shim/child/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"
#include "shim/console.h"
#include "shim/create_plan.h"
#include "shim/create_process.h"
#include "shim/front/capabilities.h"
#include "shim/front/commands.h"
#include "shim/front/container.h"
#include "shim/front/create_flags.h"
#include "shim/front/exec_request.h"
#include "shim/front/foreground.h"
#include "shim/front/pid_file.h"
#include "shim/front/seccomp.h"
#include "shim/listener_agent.h"
#include "shim/prepare_launch.h"
#include "shim/terminal_relay.h"

namespace berth::shim::front {
namespace {

// All that the container does not share with the host; they are joined by its first process.
NamespacePlan NamespacesOf(const oci::Spec& spec) {
  NamespacePlan plan;
  for (const oci::Namespace& ns : spec.linux_.namespaces) plan.all |= NamespaceFlag(ns.type);
  if ((plan.all & CLONE_NEWUSER) != 0) plan.user_fd = 0;
  return plan;
}

absl::Status CheckStatus(const Container& container, bool ignore_paused) {
  ASSIGN_OR_RETURN(const Status status, container.GetStatus());
  if (status == Status::kRunning || status == Status::kCreated) return absl::OkStatus();
  if (status == Status::kPaused && ignore_paused) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("container ", container.record().id, ": is ", StatusName(status)));
}

absl::StatusOr<os::CgroupJoin> OpenGroup(const Container& container, const std::string& below) {
  absl::StatusOr<os::CgroupJoin> join = container.cgroups().OpenJoin(
      below.empty() ? container.record().cgroup
                    : absl::StrCat(container.record().cgroup, "/", below));
  return join.ok() ? std::move(join) : Annotate(join.status(), "--cgroup");
}

struct Started {
  pid_t pid = -1;
  os::UniqueFd pidfd;
  os::UniqueFd terminal;  // the master, where nobody else has got it
};

// A process of the container's by its plan. The value: it has executed its program.
absl::StatusOr<Started> Start(const Container& container, const ExecFlags& flags,
                              const LaunchDocument& document, const std::string& plan) {
  ASSIGN_OR_RETURN(const ListenerAgent agent, ListenerAgent::Find(document));
  ASSIGN_OR_RETURN(const os::UniqueFd first, container.OpenProcess());
  ASSIGN_OR_RETURN(const os::CgroupJoin join, OpenGroup(container, flags.cgroup));
  std::vector<int> tasks;
  for (const os::UniqueFd& fd : join.tasks) tasks.push_back(fd.get());
  std::vector<char*> argv;
  for (const std::string& arg : document.spec.process.args)
    argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);

  child::ExecRequest request{};
  request.plan = plan.data();
  request.plan_size = plan.size();
  request.argv = argv.data();
  const oci::Process& process = document.spec.process;
  os::UniqueFd console;
  os::UniqueFd own_console;
  if (process.terminal && !flags.console_socket.empty()) {
    ASSIGN_OR_RETURN_CTX(console, ConnectConsole(flags.console_socket), "--console-socket");
  } else if (process.terminal) {
    ASSIGN_OR_RETURN(std::tie(own_console, console), MakeConsoleSockets());
  }
  request.terminal = {console.get(), process.console_height, process.console_width};
  request.stdin_fd = STDIN_FILENO;
  request.stdout_fd = STDOUT_FILENO;
  request.stderr_fd = STDERR_FILENO;
  request.init_pidfd = first.get();
  request.tasks_fds = tasks.data();
  request.tasks_count = static_cast<int>(tasks.size());
  request.cgroup_fd = join.into.get();
  request.preserved_fds = flags.preserve_fds;
  child::ExecStarted started{-1, -1, -1, -1};
  if (const int error = child::StartExec(request, &started); error != 0) {
    return os::ErrnoStatus(error, "start process");
  }
  const os::UniqueFd report(started.report_fd);
  const os::UniqueFd gate(started.gate_fd);
  if (gate.valid()) {
    RETURN_IF_ERROR(HandOverListener(report.get(), agent, started.pid, started.pidfd));
    RETURN_IF_ERROR(OpenGate(gate.get()));
  }
  RETURN_IF_ERROR(AwaitExec(report.get()));
  Started result;
  result.pid = started.pid;
  result.pidfd.reset(started.pidfd);
  if (own_console.valid()) {  // sent before the execve
    ASSIGN_OR_RETURN(result.terminal,
                     ReceiveConsole(own_console.get(), Deadline::After(absl::ZeroDuration())));
  }
  return result;
}

}  // namespace

absl::StatusOr<int> Exec(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(const ExecFlags flags, ParseExecFlags(words));
  std::optional<Foreground> foreground;
  if (!flags.detach) {
    ASSIGN_OR_RETURN(foreground, Foreground::Block());
  }
  ASSIGN_OR_RETURN(Container container, Container::Open(options, flags.id));
  RETURN_IF_ERROR(CheckStatus(container, flags.ignore_paused));
  ASSIGN_OR_RETURN(const std::string config, container.dir().ReadConfig());
  ASSIGN_OR_RETURN(oci::Spec spec, oci::ParseSpec(config));
  ASSIGN_OR_RETURN(spec.process, ProcessOf(flags, spec.process));
  RETURN_IF_ERROR(CheckConsole(spec.process.terminal, flags.console_socket, !flags.detach));
  DropUngrantable(&spec.process.capabilities);
  LaunchDocument document;
  document.container_id = flags.id;
  document.bundle = container.record().bundle;
  ASSIGN_OR_RETURN(document.seccomp, CompileSeccomp(options, spec));
  document.spec = std::move(spec);
  ASSIGN_OR_RETURN(const Powers powers, OwnPowers());
  ASSIGN_OR_RETURN(const std::string plan,
                   BuildProcessPlan(document, NamespacesOf(document.spec), powers));
  ASSIGN_OR_RETURN(Started started, Start(container, flags, document, plan));
  RETURN_IF_ERROR(WritePidFile(flags.pid_file, started.pid));
  if (!foreground.has_value()) return 0;
  std::optional<TerminalRelay> relay;
  if (started.terminal.valid()) {
    ASSIGN_OR_RETURN(TerminalRelay opened,
                     TerminalRelay::Open(std::move(started.terminal), STDIN_FILENO, STDOUT_FILENO));
    relay.emplace(std::move(opened));
  }
  return foreground->Await(started.pid, started.pidfd.get(), relay.has_value() ? &*relay : nullptr);
}

}  // namespace berth::shim::front
