#include "shim/client.h"

#include <errno.h>
#include <fcntl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/connection.h"
#include "shim/exec_output.h"
#include "shim/exit_record.h"
#include "shim/protocol.h"

namespace berth::shim {
namespace {

using protocol::Op;
using protocol::Reply;
using protocol::Request;

// How much longer than an exec's own limit its answer may take: the shim kills and reaps first.
constexpr absl::Duration kKillGrace = absl::Seconds(30);

absl::StatusOr<Reply> Call(const std::string& run_dir, const Request& request, Deadline deadline,
                           const std::vector<int>& fds = {}) {
  ASSIGN_OR_RETURN(const os::UniqueFd connection, Connect(run_dir, deadline));
  RETURN_IF_ERROR(SendRequest(connection.get(), request, fds));
  ASSIGN_OR_RETURN(const Reply reply,
                   ReceiveReply(connection.get(), static_cast<Op>(request.op), deadline));
  RETURN_IF_ERROR(StatusOf(reply));
  return reply;
}

uint64_t TimeoutMillis(absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) return 0;
  return static_cast<uint64_t>(
      std::max<int64_t>(1, absl::ToInt64Milliseconds(absl::Ceil(timeout, absl::Milliseconds(1)))));
}

OomLevel OomLevelOf(const Reply& reply) {
  return reply.oom_killed <= static_cast<uint32_t>(OomLevel::kNode)
             ? static_cast<OomLevel>(reply.oom_killed)
             : OomLevel::kUnknown;
}

}  // namespace

absl::StatusOr<ShimState> Client::State(Deadline deadline) const {
  ASSIGN_OR_RETURN(const Reply reply, Call(run_dir_, MakeRequest(Op::kState), deadline));
  ShimState state;
  switch (static_cast<protocol::Phase>(reply.phase)) {
    case protocol::Phase::kCreated:
      state.phase = ShimPhase::kCreated;
      break;
    case protocol::Phase::kRunning:
      state.phase = ShimPhase::kRunning;
      break;
    case protocol::Phase::kExited:
      state.phase = ShimPhase::kExited;
      state.exit = ExitRecord{reply.exit_code, reply.signal, reply.finished_at, OomLevelOf(reply)};
      break;
  }
  state.init_pid = reply.init_pid;
  state.log_bytes = reply.log_bytes;
  state.log_lines_dropped = reply.log_lines_dropped;
  state.log_bytes_dropped = reply.log_bytes_dropped;
  return state;
}

absl::Status Client::Start(Deadline deadline) const {
  return Call(run_dir_, MakeRequest(Op::kStart), deadline).status();
}

absl::Status Client::Signal(int signo, Deadline deadline) const {
  return Call(run_dir_, MakeRequest(Op::kSignal, signo), deadline).status();
}

absl::Status Client::KillAll(Deadline deadline) const {
  return Call(run_dir_, MakeRequest(Op::kKillAll), deadline).status();
}

absl::Status Client::ReopenLog(os::UniqueFd log, Deadline deadline) const {
  return Call(run_dir_, MakeRequest(Op::kReopenLog), deadline, {log.get()}).status();
}

absl::StatusOr<os::UniqueFd> Client::Watch(Deadline deadline) const {
  ASSIGN_OR_RETURN(os::UniqueFd connection, Connect(run_dir_, deadline));
  RETURN_IF_ERROR(SendRequest(connection.get(), MakeRequest(Op::kWatch), {}));
  ASSIGN_OR_RETURN(const Reply reply, ReceiveReply(connection.get(), Op::kWatch, deadline));
  RETURN_IF_ERROR(StatusOf(reply));
  return connection;
}

absl::StatusOr<ExecOutput> Client::ExecSync(const ExecOptions& options) const {
  ASSIGN_OR_RETURN(os::UniqueFd arguments, MakeArguments(options.args));
  ASSIGN_OR_RETURN(OutputPipes pipes, OutputPipes::Make(options.output_limit));
  const Deadline deadline = options.timeout == absl::InfiniteDuration()
                                ? Deadline::Infinite()
                                : Deadline::After(options.timeout + kKillGrace);
  ASSIGN_OR_RETURN(const os::UniqueFd connection, Connect(run_dir_, deadline));
  Request request = MakeRequest(Op::kExec, static_cast<int>(options.args.size()));
  request.timeout_ms = TimeoutMillis(options.timeout);
  RETURN_IF_ERROR(SendRequest(connection.get(), request, pipes.Fds(arguments.get())));
  arguments.reset();
  pipes.CloseWriteEnds();
  // On an error the connection closes, which tells the shim to kill what it started.
  RETURN_IF_ERROR(pipes.ReadUntilReadable(connection.get(), deadline, options.cancel));
  ASSIGN_OR_RETURN(const Reply reply, ReceiveReply(connection.get(), Op::kExec, deadline));
  if (absl::Status status = StatusOf(reply); !status.ok()) {
    return Annotate(
        status, absl::StrCat("exec in container, limit ", absl::FormatDuration(options.timeout)));
  }
  RETURN_IF_ERROR(pipes.ReadRest(Deadline::After(options.drain_limit)));
  // NOLINTNEXTLINE(bugprone-use-after-move): each takes its own stream
  return ExecOutput{reply.exit_code, std::move(pipes).TakeOut(), std::move(pipes).TakeErr()};
}

absl::StatusOr<TerminalExec> Client::ExecTerminal(const std::vector<std::string>& args,
                                                  absl::Duration limit, Deadline deadline) const {
  ASSIGN_OR_RETURN(const os::UniqueFd arguments, MakeArguments(args));
  ASSIGN_OR_RETURN(auto sockets, MakeConsoleSockets());
  ASSIGN_OR_RETURN(os::UniqueFd connection, Connect(run_dir_, deadline));
  Request request = MakeRequest(Op::kExec, static_cast<int>(args.size()));
  request.flags = protocol::kExecTerminal;
  request.timeout_ms = TimeoutMillis(limit);
  RETURN_IF_ERROR(SendRequest(connection.get(), request, {arguments.get(), sockets.second.get()}));
  sockets.second.reset();  // or its end would not show
  absl::StatusOr<os::UniqueFd> master = ReceiveConsole(sockets.first.get(), deadline);
  if (master.ok()) return TerminalExec(*std::move(master), std::move(connection));
  if (!absl::IsUnavailable(master.status())) return master.status();
  // Nobody is left who would send one: the answer says why.
  ASSIGN_OR_RETURN(const Reply reply, ReceiveReply(connection.get(), Op::kExec, deadline));
  RETURN_IF_ERROR_CTX(StatusOf(reply), "exec in container");
  return absl::InternalError("exec in container: it ended without a terminal");
}

absl::StatusOr<int> TerminalExec::Wait(Deadline deadline) const {
  ASSIGN_OR_RETURN(const Reply reply, ReceiveReply(connection_.get(), Op::kExec, deadline));
  RETURN_IF_ERROR_CTX(StatusOf(reply), "exec in container");
  return reply.exit_code;
}

absl::Status Client::Resize(WindowSize size, Deadline deadline) const {
  const uint32_t packed = static_cast<uint32_t>(size.rows) << 16 | size.columns;
  return Call(run_dir_, MakeRequest(Op::kResize, static_cast<int>(packed)), deadline).status();
}

absl::StatusOr<std::optional<ExitRecord>> Client::ReadExit(absl::string_view boot_id) const {
  const absl::StatusOr<std::string> text = os::ReadFile(absl::StrCat(run_dir_, "/exit"), 4096);
  if (os::IsErrno(text.status(), ENOENT)) return std::optional<ExitRecord>();
  if (!text.ok()) return WithCode(absl::StatusCode::kInternal, text.status(), "read exit record");
  ASSIGN_OR_RETURN(const StoredExit stored, ParseExitRecord(*text));
  if (stored.boot_id != boot_id) return std::optional<ExitRecord>();
  return std::optional<ExitRecord>(stored.exit);
}

}  // namespace berth::shim
