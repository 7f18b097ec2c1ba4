#include "base/status_macros.h"
#include "ctl/args.h"
#include "ctl/commands.h"
#include "ctl/follow.h"
#include "ctl/lookup.h"

namespace berth::ctl {

absl::StatusOr<int> Logs(const Context& context, const Words& words) {
  ASSIGN_OR_RETURN(
      const Args args,
      Args::Parse({{"follow", 'f', false}, {"timestamps", 't', false}}, words, Order::kAnywhere));
  if (args.rest().size() != 1) return absl::InvalidArgumentError("logs needs one CONTAINER");
  ASSIGN_OR_RETURN(const cri::Container container, FindContainer(context.cri, args.rest()[0]));
  FollowOptions options;
  options.follow = args.Has("follow");
  options.timestamps = args.Has("timestamps");
  RETURN_IF_ERROR(ShowLog(context.cri, container.id(), options).status());
  return 0;
}

}  // namespace berth::ctl
