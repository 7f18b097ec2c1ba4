#include <vector>

#include "base/log.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/front/container.h"
#include "shim/front/resource_flags.h"

namespace berth::shim::front {

absl::StatusOr<int> Update(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(const UpdateFlags flags, ParseUpdateFlags(words));
  ASSIGN_OR_RETURN(const Container container, Container::OpenLocked(options, flags.id));
  ASSIGN_OR_RETURN(const Status status, container.GetStatus());
  if (status == Status::kStopped || status == Status::kCreating) {
    RETURN_IF_ERROR(container.ExpectStatus(Status::kRunning, Status::kCreated));
  }
  const std::string& group = container.record().cgroup;
  ASSIGN_OR_RETURN(const std::vector<os::CgroupFile> before,
                   container.cgroups().Capture(group, flags.limits));
  const absl::Status changed = container.cgroups().Change(group, flags.limits);
  if (changed.ok()) return 0;
  const absl::Status restored = container.cgroups().Restore(group, before);
  if (!restored.ok()) LogWarning(restored.message());
  return changed;
}

}  // namespace berth::shim::front
