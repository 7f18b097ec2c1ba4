#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "sandbox/container_end.h"
#include "sandbox/parallel.h"
#include "sandbox/pod_init.h"
#include "sandbox/pod_network.h"
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

absl::Status SetPending(Core& core, Pod& pod, const std::vector<std::string>& pending) {
  const PodViewPtr view = pod.view();
  if (pending.empty() && view->record.pending().empty()) return absl::OkStatus();
  return pod.cell.Update(core.store, [&](SandboxRecord& r) {
    r.clear_pending();
    for (const std::string& step : pending) r.add_pending(step);
    return absl::OkStatus();
  });
}

// What the plugins refuse to undo is owed: the next Stop, Remove or start asks them again.
absl::Status Detach(Core& core, Pod& pod) {
  absl::Status detached = DetachPod(core, pod);
  if (detached.ok()) return detached;
  detached =
      Annotate(detached, absl::StrCat("detach pod sandbox ", pod.id.str(), " from the network"));
  // The detach's own error is the one to report; the attachment has a record of its own.
  (void)SetPending(core, pod, {std::string(detached.message())});
  return detached;
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
  RETURN_IF_ERROR(EndInit(core, pod, core.KillDeadline()));
  BERTH_FAILPOINT(stop_pod_after_init);
  RETURN_IF_ERROR(Detach(core, pod));
  BERTH_FAILPOINT(stop_pod_after_detach);
  RETURN_IF_ERROR(UnpinPod(core, pod));
  return SetPending(core, pod, {});
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
