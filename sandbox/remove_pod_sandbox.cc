#include "base/failpoint.h"
#include "base/status_macros.h"
#include "sandbox/container_end.h"
#include "sandbox/pod_resources.h"
#include "sandbox/stop_pod.h"
#include "sandbox/unimplemented.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {

absl::Status RemovePod(Core& core, Pod& pod) {
  RETURN_IF_ERROR(StopPod(core, pod));
  for (const ContainerPtr& container : ContainersOf(core.containers, pod.id)) {
    RETURN_IF_ERROR(RemoveNow(core, container));
  }
  RETURN_IF_ERROR(
      pod.cell.Update(core.store, [](SandboxRecord& r) { return Advance(r, PodEvent::kRemove); }));
  BERTH_FAILPOINT(remove_pod_after_intent);
  RETURN_IF_ERROR(RemovePodCgroup(core, pod.view()->record, core.KillDeadline()));
  BERTH_FAILPOINT(remove_pod_after_cgroup);
  RETURN_IF_ERROR(RemovePodFiles(core, pod.id));
  BERTH_FAILPOINT(remove_pod_after_files);
  return ForgetPod(core, pod);
}

absl::Status RemovePodSandbox(Core& core, const cri::RemovePodSandboxRequest& request) {
  if (request.pod_sandbox_id().empty()) return Invalid("pod_sandbox_id", "must not be empty");
  const absl::StatusOr<PodPtr> pod = FindPod(core, request.pod_sandbox_id());
  if (!pod.ok()) return absl::OkStatus();  // removed long ago
  ASSIGN_OR_RETURN(OperationSlot::Held held,
                   (*pod)->slot.Acquire("remove pod sandbox", core.Turn()));
  if (core.pods.Find((*pod)->id.str()) == nullptr) return absl::OkStatus();
  return RemovePod(core, **pod);
}

}  // namespace berth::sandbox
