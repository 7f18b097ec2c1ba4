#include <optional>

#include "base/failpoint.h"
#include "base/status_macros.h"
#include "sandbox/container_end.h"
#include "sandbox/trash.h"
#include "sandbox/unimplemented.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

absl::Status ForgetContainer(Core& core, const Container& container) {
  store::Batch batch;
  batch.Delete(kContainerKind, container.id.str());
  RETURN_IF_ERROR(core.store.Commit(batch, store::Sync::kNormal));
  core.containers.Erase(container.id.str());
  const ContainerRecord& record = container.view()->record;
  core.containers.names().Release(ContainerName(record.sandbox_id(), ConfigOf(record).metadata()),
                                  container.id.str());
  return absl::OkStatus();
}

}  // namespace

absl::Status RemoveNow(Core& core, const ContainerPtr& container) {
  if (container->view()->state != ContainerState::kCreating) {
    RETURN_IF_ERROR(StopNow(core, container));
  }
  RETURN_IF_ERROR(container->cell.Update(
      core.store, [](ContainerRecord& r) { return Advance(r, ContainerEvent::kRemove); }));
  BERTH_FAILPOINT(remove_container_after_intent);
  RETURN_IF_ERROR(Release(core, *container));
  BERTH_FAILPOINT(remove_container_after_release);
  RETURN_IF_ERROR(MoveToTrash(core, container->id));
  BERTH_FAILPOINT(remove_container_after_trash);
  RETURN_IF_ERROR(ForgetContainer(core, *container));
  core.images.Unhold(container->id.str());
  EmptyTrash(core);
  return absl::OkStatus();
}

absl::Status RemoveContainer(Core& core, const cri::RemoveContainerRequest& request) {
  if (request.container_id().empty()) return Invalid("container_id", "must not be empty");
  const absl::StatusOr<ContainerPtr> found = FindContainer(core, request.container_id());
  if (!found.ok()) return absl::OkStatus();  // removed long ago
  const PodPtr pod = core.pods.Find((*found)->view()->record.sandbox_id());
  if (pod == nullptr) return RemoveNow(core, *found);
  ASSIGN_OR_RETURN(OperationSlot::Held held, pod->slot.Acquire("remove container", core.Turn()));
  // Another call may have removed it while this one waited.
  if (core.containers.Find((*found)->id.str()) == nullptr) return absl::OkStatus();
  return RemoveNow(core, *found);
}

}  // namespace berth::sandbox
