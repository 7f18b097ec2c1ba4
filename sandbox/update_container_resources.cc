#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "sandbox/spec_resources.h"
#include "sandbox/unimplemented.h"
#include "sandbox/update_resources.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

// All that one update decides before it does anything.
struct UpdatePlan {
  cri::LinuxContainerResources resources;  // in force once it is done
  os::CgroupLimits limits;
  std::optional<int> oom_score_adj;
};

// With `asked` nothing but what it is about; without, everything that `merged` says.
absl::StatusOr<UpdatePlan> Plan(const Core& core, const cri::LinuxContainerResources& merged,
                                const cri::LinuxContainerResources& asked) {
  UpdatePlan plan;
  plan.resources = merged;
  ASSIGN_OR_RETURN(os::CgroupLimits limits, ToCgroupLimits(merged, core.facts.cgroup_layout));
  plan.limits = OnlyAsked(std::move(limits), asked);
  if (asked.oom_score_adj() != 0) {
    ASSIGN_OR_RETURN(plan.oom_score_adj, ToOomScoreAdj(merged, core.facts.lowest_oom_score_adj));
  }
  return plan;
}

absl::Status CheckMayUpdate(const Core& core, const Container& container) {
  const ContainerState state = container.view()->state;
  const bool there = core.containers.Find(container.id.str()) != nullptr;
  if (there && (state == ContainerState::kCreated || state == ContainerState::kRunning)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat("it is ", there ? Name(state) : "removed",
                                                    ", only a created or running one has limits"));
}

// The kernel's word on a process is not CRI's on a container: that one is here.
absl::Status OfFirstProcess(const absl::Status& status) {
  if (!absl::IsNotFound(status)) return status;
  return absl::FailedPreconditionError(
      absl::StrCat("its first process has ended: ", status.message()));
}

absl::StatusOr<records::ResourceUpdate> MakeIntent(Core& core, const ContainerRecord& record,
                                                   const UpdatePlan& plan) {
  records::ResourceUpdate intent;
  intent.set_resources(DeterministicBytes(plan.resources));
  ASSIGN_OR_RETURN(const std::vector<os::CgroupFile> before,
                   core.resources->Capture(record.cgroups_path(), plan.limits));
  for (const os::CgroupFile& file : before) {
    records::ResourceUpdate::File* entry = intent.add_before();
    entry->set_path(file.path);
    entry->set_value(file.value);
  }
  if (plan.oom_score_adj.has_value()) {
    const absl::StatusOr<int> score =
        core.resources->OomScoreAdj(record.init_pid(), record.init_start_time());
    RETURN_IF_ERROR(OfFirstProcess(score.status()));
    intent.set_oom_score_adj_before(*score);
  }
  return intent;
}

absl::Status CarryOut(Core& core, const ContainerRecord& record, const UpdatePlan& plan) {
  RETURN_IF_ERROR(core.resources->Change(record.cgroups_path(), plan.limits));
  BERTH_FAILPOINT(update_resources_after_limits);
  if (!plan.oom_score_adj.has_value()) return absl::OkStatus();
  // Of the first process; those that it starts from now on have it too.
  return OfFirstProcess(core.resources->SetOomScoreAdj(record.init_pid(), record.init_start_time(),
                                                       *plan.oom_score_adj));
}

absl::Status Commit(Core& core, Container& container, const std::string& resources) {
  return container.cell.Update(core.store, [&](ContainerRecord& r) {
    if (!resources.empty()) r.set_resources(resources);
    r.clear_update();
    return absl::OkStatus();
  });
}

absl::Status UpdateNow(Core& core, Container& container,
                       const cri::LinuxContainerResources& asked) {
  const ContainerRecord record = container.view()->record;
  ASSIGN_OR_RETURN(const UpdatePlan plan,
                   Plan(core, MergeResources(ResourcesOf(record), asked), asked));
  ASSIGN_OR_RETURN(const records::ResourceUpdate intent, MakeIntent(core, record, plan));
  RETURN_IF_ERROR(container.cell.Update(core.store, [&](ContainerRecord& r) {
    *r.mutable_update() = intent;
    return absl::OkStatus();
  }));
  BERTH_FAILPOINT(update_resources_after_intent);
  RETURN_IF_ERROR(CarryOut(core, record, plan));
  return Commit(core, container, intent.resources());
}

absl::Status Undo(Core& core, const ContainerRecord& record) {
  const records::ResourceUpdate& update = record.update();
  if (update.has_oom_score_adj_before()) {
    absl::Status set = core.resources->SetOomScoreAdj(record.init_pid(), record.init_start_time(),
                                                      update.oom_score_adj_before());
    if (!set.ok() && !absl::IsNotFound(set)) return set;  // gone: it needs no score
  }
  std::vector<os::CgroupFile> before;
  for (const records::ResourceUpdate::File& file : update.before()) {
    before.push_back({file.path(), file.value()});
  }
  return core.resources->Restore(record.cgroups_path(), before);
}

absl::Status Redo(Core& core, const ContainerRecord& record) {
  cri::LinuxContainerResources all;
  (void)all.ParseFromString(record.update().resources());  // checked when the record was read
  ASSIGN_OR_RETURN(const UpdatePlan plan, Plan(core, all, all));
  return CarryOut(core, record, plan);
}

}  // namespace

absl::Status SettleUpdate(Core& core, Container& container) {
  const ContainerViewPtr view = container.view();
  if (!view->record.has_update()) return absl::OkStatus();
  // Its cgroup goes, and its limits with it.
  if (view->ended()) return Commit(core, container, "");
  const absl::Status undone = Undo(core, view->record);
  BERTH_FAILPOINT(settle_update_before_commit);
  if (undone.ok()) return Commit(core, container, "");
  if (const absl::Status redone = Redo(core, view->record); !redone.ok()) {
    if (container.view()->ended()) return Commit(core, container, "");
    return Annotate(undone, absl::StrCat("neither forward (", redone.message(), ") nor back"));
  }
  return Commit(core, container, view->record.update().resources());
}

absl::Status UpdateContainerResources(Core& core,
                                      const cri::UpdateContainerResourcesRequest& request) {
  if (request.has_windows()) return Invalid("windows", "this is a Linux host");
  ASSIGN_OR_RETURN(const ContainerPtr container, FindContainer(core, request.container_id()));
  const std::string context = absl::StrCat("update resources of container ", container->id.str());
  const PodPtr pod = core.pods.Find(container->view()->record.sandbox_id());
  if (pod == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(context, ": its pod sandbox is gone"));
  }
  ASSIGN_OR_RETURN(OperationSlot::Held held, pod->slot.Acquire("update resources", core.Turn()));
  RETURN_IF_ERROR_CTX(CheckMayUpdate(core, *container), context);
  RETURN_IF_ERROR_CTX(SettleUpdate(core, *container), context);
  absl::Status updated = UpdateNow(core, *container, request.linux());
  if (updated.ok()) return updated;
  if (absl::Status undone = SettleUpdate(core, *container); !undone.ok()) {
    updated = Annotate(updated, absl::StrCat("undo: ", undone.message()));
  }
  // It ended under our hands: that is the reason, not the file that is not there any more.
  RETURN_IF_ERROR_CTX(CheckMayUpdate(core, *container), context);
  return Annotate(updated, context);
}

}  // namespace berth::sandbox
