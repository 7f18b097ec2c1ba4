#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

// Of all shims together: one that hangs is left out, and so are those after it.
constexpr absl::Duration kPatience = absl::Seconds(1);

}  // namespace

std::vector<LogDrops> DroppedLogs(const Core& core) {
  std::vector<LogDrops> all;
  const Deadline deadline = Deadline::After(kPatience);
  for (const ContainerPtr& container : core.containers.All()) {
    if (container->view()->state != ContainerState::kRunning) continue;
    const absl::StatusOr<shim::ShimState> state = core.shims->State(container->id, deadline);
    if (!state.ok() || state->log_lines_dropped == 0) continue;
    all.push_back({container->id.str(), state->log_lines_dropped, state->log_bytes_dropped});
  }
  return all;
}

}  // namespace berth::sandbox
