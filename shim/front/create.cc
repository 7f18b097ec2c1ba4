#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/front/create_container.h"
#include "shim/front/create_flags.h"

namespace berth::shim::front {

absl::StatusOr<int> Create(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(const CreateFlags flags, ParseCreateFlags(words, /*is_run=*/false));
  ASSIGN_OR_RETURN(CreatedContainer created, CreateContainer(options, flags.request));
  created.process.Release();
  return 0;
}

}  // namespace berth::shim::front
