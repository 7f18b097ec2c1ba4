#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/container_end.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

absl::Status CheckMayStart(const Core& core, const Container& container, const PodPtr& pod) {
  const ContainerViewPtr view = container.view();
  if (view->state != ContainerState::kCreated) {
    return absl::FailedPreconditionError(absl::StrCat("start container ", container.id.str(),
                                                      ": it is ", Name(view->state),
                                                      ", only a created one starts"));
  }
  if (core.containers.Find(container.id.str()) == nullptr || pod == nullptr ||
      pod->view()->state != PodState::kReady) {
    return absl::FailedPreconditionError(
        absl::StrCat("start container ", container.id.str(), ": its pod sandbox is not ready"));
  }
  return absl::OkStatus();
}

// EXITED with reason StartError, whoever noticed the end first. The failed process may still wait
// at its gate, so the cgroup is emptied before anyone hears of it.
absl::Status RecordStartError(Core& core, const ContainerPtr& container,
                              const absl::Status& failure) {
  const std::string cgroup = container->view()->record.cgroups_path();
  if (absl::Status killed = core.host->KillCgroup(cgroup, core.KillDeadline()); !killed.ok()) {
    LogError("kill container that did not start",
             {{"container", container->id.str()}, {"error", killed.ToString()}});
  }
  RETURN_IF_ERROR(container->cell.Update(core.store, [&](ContainerRecord& r) -> absl::Status {
    if (StateOf(r) == ContainerState::kCreated) {
      RETURN_IF_ERROR(Advance(r, ContainerEvent::kStartFailed));
    }
    r.set_started_at(0);
    r.set_finished_at(WallNanos());
    r.set_exit_code(kStartErrorExitCode);
    r.set_reason("StartError");
    r.set_message(std::string(failure.message()));
    return absl::OkStatus();
  }));
  return Release(core, *container);
}

absl::Status StartNow(Core& core, Container& container) {
  RETURN_IF_ERROR(container.cell.Update(core.store, [](ContainerRecord& r) {
    r.set_started_at(WallNanos());
    return absl::OkStatus();
  }));
  BERTH_FAILPOINT(start_container_after_intent);
  RETURN_IF_ERROR(core.shims->Start(container.id, core.Turn()));
  BERTH_FAILPOINT(start_container_after_exec);
  return container.cell.Update(core.store, [](ContainerRecord& r) {
    // A short one may have ended, and that been recorded, before this line.
    if (StateOf(r) == ContainerState::kExited) return absl::OkStatus();
    return Advance(r, ContainerEvent::kStartDone);
  });
}

}  // namespace

absl::Status StartContainer(Core& core, const cri::StartContainerRequest& request) {
  ASSIGN_OR_RETURN(const ContainerPtr container, FindContainer(core, request.container_id()));
  const PodPtr pod = core.pods.Find(container->view()->record.sandbox_id());
  if (pod == nullptr) return CheckMayStart(core, *container, pod);
  ASSIGN_OR_RETURN(OperationSlot::Held held, pod->slot.Acquire("start container", core.Turn()));
  RETURN_IF_ERROR(CheckMayStart(core, *container, pod));
  absl::Status started = StartNow(core, *container);
  if (started.ok()) return started;
  if (absl::Status recorded = RecordStartError(core, container, started); !recorded.ok()) {
    started = Annotate(started, absl::StrCat("record the failure: ", recorded.message()));
  }
  return Annotate(started, absl::StrCat("start container ", container->id.str()));
}

}  // namespace berth::sandbox
