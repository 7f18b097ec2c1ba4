#include "base/failpoint.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "sandbox/container_end.h"
#include "sandbox/parallel.h"
#include "sandbox/pod_resources.h"
#include "sandbox/stop_pod.h"
#include "sandbox/unimplemented.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

constexpr size_t kSideBySide = 16;

// Killed, and nothing of theirs is mounted any more.
absl::Status StopContainersOf(Core& core, const SandboxId& pod) {
  const std::vector<ContainerPtr> containers = ContainersOf(core.containers, pod);
  std::vector<absl::Status> results(containers.size());
  ForEachParallel(containers.size(), kSideBySide, [&](size_t i) {
    if (containers[i]->view()->state == ContainerState::kCreating) return;  // owed, see RemoveNow
    results[i] = StopNow(core, containers[i]);
    if (results[i].ok()) results[i] = Release(core, *containers[i]);
  });
  absl::Status first;
  for (const absl::Status& result : results) first.Update(result);
  return first;
}

}  // namespace

absl::Status StopPod(Core& core, Pod& pod) {
  const PodState state = pod.view()->state;
  if (state == PodState::kReady) {
    RETURN_IF_ERROR(
        pod.cell.Update(core.store, [](SandboxRecord& r) { return Advance(r, PodEvent::kStop); }));
  }
  BERTH_FAILPOINT(stop_pod_after_commit);
  RETURN_IF_ERROR(StopContainersOf(core, pod.id));
  BERTH_FAILPOINT(stop_pod_after_containers);
  return UnpinPod(core, pod.id);
}

absl::Status StopPodSandbox(Core& core, const cri::StopPodSandboxRequest& request) {
  if (request.pod_sandbox_id().empty()) return Invalid("pod_sandbox_id", "must not be empty");
  const absl::StatusOr<PodPtr> pod = FindPod(core, request.pod_sandbox_id());
  if (!pod.ok()) return absl::OkStatus();  // removed long ago
  ASSIGN_OR_RETURN(OperationSlot::Held held, (*pod)->slot.Acquire("stop pod sandbox", core.Turn()));
  if (core.pods.Find((*pod)->id.str()) == nullptr) return absl::OkStatus();
  return StopPod(core, **pod);
}

}  // namespace berth::sandbox
