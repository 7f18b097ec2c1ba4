#include "base/status_macros.h"
#include "ctl/args.h"
#include "ctl/commands.h"
#include "ctl/lookup.h"
#include "ctl/output.h"

namespace berth::ctl {

absl::StatusOr<int> Exec(const Context& context, const Words& words) {
  ASSIGN_OR_RETURN(const Args args,
                   Args::Parse({{"timeout", 't', true}}, words, Order::kBeforeTheRest));
  ASSIGN_OR_RETURN(const int64_t seconds, args.Number("timeout", 0, 0, 86400));
  if (args.rest().size() < 2) {
    return absl::InvalidArgumentError("exec needs a CONTAINER and a COMMAND");
  }
  ASSIGN_OR_RETURN(const cri::Container container, FindContainer(context.cri, args.rest()[0]));
  const Words command(args.rest().begin() + 1, args.rest().end());
  ASSIGN_OR_RETURN(const auto reply,
                   context.cri->Exec(container.id(), command, absl::Seconds(seconds)));
  RETURN_IF_ERROR(Print(reply.stdout()));
  RETURN_IF_ERROR(PrintError(reply.stderr()));
  return reply.exit_code();
}

}  // namespace berth::ctl
