#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/front/create_container.h"
#include "shim/front/create_flags.h"
#include "shim/front/destroy_container.h"
#include "shim/front/foreground.h"
#include "shim/front/start_container.h"
#include "shim/terminal_relay.h"

namespace berth::shim::front {
namespace {

// With what it has started, and nothing of it left.
void Destroy(CreatedContainer* created) {
  const absl::Status destroyed = DestroyContainer(created->cgroups, created->record, &created->dir);
  if (!destroyed.ok()) LogWarning(destroyed.message());
  RunPoststopHooks(created->record, created->spec.hooks);
}

absl::StatusOr<int> AwaitEnd(const Foreground& foreground, const CreateFlags& flags,
                             TerminalRelay* relay, CreatedContainer* created) {
  created->dir.Unlock();
  absl::StatusOr<int> code =
      foreground.Await(created->process.pid(), created->process.pidfd(), relay);
  created->process.Release();
  if (flags.keep) return code;
  // Somebody may have deleted it meanwhile: it ended by that.
  absl::Status locked = created->dir.Lock();
  if (locked.ok()) Destroy(created);
  if (!locked.ok() && !absl::IsNotFound(locked)) return locked;
  return code;
}

// Its terminal as ours, where nobody else has got it.
absl::StatusOr<std::optional<TerminalRelay>> OpenRelay(const CreateFlags& flags,
                                                       const CreatedContainer& created) {
  std::optional<TerminalRelay> relay;
  if (!created.spec.process.terminal || !flags.request.console_socket.empty()) return relay;
  ASSIGN_OR_RETURN(os::UniqueFd master, created.process.ReceiveTerminal());
  ASSIGN_OR_RETURN(TerminalRelay opened,
                   TerminalRelay::Open(std::move(master), STDIN_FILENO, STDOUT_FILENO));
  relay.emplace(std::move(opened));
  return relay;
}

}  // namespace

absl::StatusOr<int> Run(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(CreateFlags flags, ParseCreateFlags(words, /*is_run=*/true));
  flags.request.waits_for_start = false;
  std::optional<Foreground> foreground;
  if (!flags.detach) {
    ASSIGN_OR_RETURN(foreground, Foreground::Block());
    if (flags.subreaper && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
      return os::ErrnoStatus(errno, "become subreaper");
    }
  }
  ASSIGN_OR_RETURN(CreatedContainer created, CreateContainer(options, flags.request));
  const FirstProcess::Pipes& pipes = created.process.pipes();
  absl::StatusOr<std::optional<TerminalRelay>> relay = OpenRelay(flags, created);
  if (!relay.ok()) {
    Destroy(&created);
    return relay.status();
  }
  RETURN_IF_ERROR(StartContainer({pipes.gate_write.get(), pipes.report_read.get(), &created.record,
                                  &created.spec.hooks, &created.cgroups, &created.dir,
                                  /*destroy=*/true}));
  if (foreground.has_value()) {
    return AwaitEnd(*foreground, flags, relay->has_value() ? &**relay : nullptr, &created);
  }
  created.process.Release();
  return 0;
}

}  // namespace berth::shim::front
