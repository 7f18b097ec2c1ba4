

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "sandbox/container_end.h"

namespace berth::sandbox {

absl::Status Release(Core& core, Container& container) {
  ASSIGN_OR_RETURN(OperationSlot::Held held,
                   container.release_slot.Acquire("release container", core.Turn()));
  const ContainerViewPtr view = container.view();
  if (view->record.released()) return absl::OkStatus();
  core.shims->Unwatch(container.id);
  container.usage.Close();
  RETURN_IF_ERROR_CTX(
      core.launcher.Remove(container.id, view->record.cgroups_path(), core.KillDeadline()),
      absl::StrCat("release container ", container.id.str()));
  BERTH_FAILPOINT(release_container_before_commit);
  return container.cell.Update(core.store, [](ContainerRecord& r) {
    r.set_released(true);
    return absl::OkStatus();
  });
}

}  // namespace berth::sandbox
