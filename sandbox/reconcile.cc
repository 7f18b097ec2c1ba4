// At start: records against reality. Each record's owner of last resort is here: what a kill left
// half-made is undone, what it left half-removed is removed, what runs is watched again, what ended
// meanwhile gets its recorded exit, and what no record names is taken away.

#include <functional>
#include <utility>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "sandbox/container_end.h"
#include "sandbox/orphans.h"
#include "sandbox/parallel.h"
#include "sandbox/paths.h"
#include "sandbox/pod_init.h"
#include "sandbox/pod_network.h"
#include "sandbox/pod_resources.h"
#include "sandbox/stop_pod.h"
#include "sandbox/trash.h"
#include "sandbox/update_resources.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

constexpr size_t kSideBySide = 8;
// A shim that lives answers in microseconds; one that is stopped must not hold up the start.
constexpr absl::Duration kShimAnswer = absl::Seconds(2);

void LogFailure(absl::string_view what, const std::string& id, const absl::Status& status) {
  if (status.ok()) return;
  LogError(what, {{"id", id}, {"error", status.ToString()}});
}

absl::Status PrepareDirectories(const RuntimeOptions& options) {
  for (const std::string& dir :
       {paths::PodDirs(options), paths::ContainerDirs(options), paths::Trash(options)}) {
    RETURN_IF_ERROR(os::MakeDirs(dir, 0700));
  }
  return absl::OkStatus();
}

absl::Status Quarantine(Core& core, const store::Record& stored, const absl::Status& why) {
  LogError("record put aside",
           {{"kind", stored.kind}, {"id", stored.id}, {"error", why.ToString()}});
  return core.store.Quarantine(stored.kind, stored.id, why.message());
}

absl::Status LoadPods(Core& core) {
  ASSIGN_OR_RETURN(const std::vector<store::Record> stored, core.store.Load(kSandboxKind));
  for (const store::Record& one : stored) {
    absl::StatusOr<SandboxRecord> record = SandboxFromStored(one);
    const absl::StatusOr<SandboxId> id = SandboxId::Parse(one.id);
    if (!record.ok() || !id.ok()) {
      RETURN_IF_ERROR(Quarantine(core, one, record.status()));
      continue;
    }
    const cri::PodSandboxConfig config = ConfigOf(*record);
    // A half-made one is nobody's to join: its name is free for the next attempt.
    if (StateOf(*record) != PodState::kCreating) {
      core.pods.names().Restore(PodName(config.metadata()), record->config(), one.id);
    }
    core.pods.Insert(std::make_shared<Pod>(*id, *std::move(record)));
  }
  return absl::OkStatus();
}

absl::Status LoadContainers(Core& core) {
  ASSIGN_OR_RETURN(const std::vector<store::Record> stored, core.store.Load(kContainerKind));
  for (const store::Record& one : stored) {
    absl::StatusOr<ContainerRecord> record = ContainerFromStored(one);
    const absl::StatusOr<ContainerId> id = ContainerId::Parse(one.id);
    if (!record.ok() || !id.ok()) {
      RETURN_IF_ERROR(Quarantine(core, one, record.status()));
      continue;
    }
    core.containers.names().Restore(
        ContainerName(record->sandbox_id(), ConfigOf(*record).metadata()), record->config(),
        one.id);
    core.containers.Insert(std::make_shared<Container>(*id, *std::move(record)));
  }
  return absl::OkStatus();
}

// So that the collection of garbage spares them.
void HoldLayers(Core& core) {
  for (const ContainerPtr& container : core.containers.All()) {
    std::vector<Digest> layers;
    for (const std::string& layer : container->view()->record.layers()) {
      if (absl::StatusOr<Digest> digest = Digest::Parse(layer); digest.ok()) {
        layers.push_back(*std::move(digest));
      }
    }
    LogFailure("hold layers", container->id.str(), core.images.Hold(container->id.str(), layers));
  }
}

// The shim answers: its word about the phase may be newer than the record.
absl::Status TakePhase(Core& core, const ContainerPtr& container, const shim::ShimState& state) {
  switch (state.phase) {
    case shim::ShimPhase::kCreated:
      return absl::OkStatus();
    case shim::ShimPhase::kRunning:
      return container->cell.Update(core.store, [](ContainerRecord& r) {
        return StateOf(r) == ContainerState::kCreated ? Advance(r, ContainerEvent::kStartDone)
                                                      : absl::OkStatus();
      });
    case shim::ShimPhase::kExited:
      // Watch reports it; the word is taken here so that the first List shows it.
      return state.exit.has_value() ? RecordExit(core, container, *state.exit) : absl::OkStatus();
  }
  return absl::OkStatus();
}

// Watches a live shim, or takes the exit of a dead one.
absl::Status Reconnect(Core& core, const ContainerPtr& container, absl::Duration patience) {
  absl::Status watched = core.shims->Watch(container->id, Deadline::After(patience));
  if (watched.ok()) {
    const absl::StatusOr<shim::ShimState> state =
        core.shims->State(container->id, Deadline::After(patience));
    return state.ok() ? TakePhase(core, container, *state) : state.status();
  }
  if (absl::IsDeadlineExceeded(watched)) return watched;
  const absl::StatusOr<std::optional<shim::ExitRecord>> exit = core.shims->ReadExit(container->id);
  if (exit.ok() && exit->has_value()) return RecordExit(core, container, **exit);
  return RecoverLost(core, container);
}

// One that is alive and mute keeps its recorded state; the reconnection goes on in the background
// once, and Stop kills it by its cgroup in any case.
absl::Status ReconnectOrLater(Core& core, const ContainerPtr& container) {
  absl::Status now = Reconnect(core, container, kShimAnswer);
  if (!absl::IsDeadlineExceeded(now)) return now;
  LogWarning("shim does not answer yet", {{"container", container->id.str()}});
  return core.releases.Submit([&core, container] {
    LogFailure("reconnect to shim", container->id.str(),
               Reconnect(core, container, core.options.kill_timeout));
  });
}

absl::Status ReconcileContainer(Core& core, const ContainerPtr& container) {
  const ContainerViewPtr view = container->view();
  const bool orphan = core.pods.Find(view->record.sandbox_id()) == nullptr;
  const bool same_boot = view->record.boot_id() == core.facts.boot_id;
  if (orphan && !view->ended() && view->state != ContainerState::kCreating && same_boot) {
    RETURN_IF_ERROR(RecoverLost(core, container));
  }
  switch (container->view()->state) {
    case ContainerState::kCreating:
    case ContainerState::kRemoving:
      return RemoveNow(core, container);
    case ContainerState::kExited:
      break;
    case ContainerState::kCreated:
    case ContainerState::kRunning:
      if (same_boot) {
        LogFailure("settle update of resources", container->id.str(),
                   SettleUpdate(core, *container));
        return ReconnectOrLater(core, container);
      }
      RETURN_IF_ERROR(RecordExit(core, container, kUnknownExitCode, "NodeRestarted",
                                 "the node was restarted while the container was there"));
      break;
  }
  if (orphan) return RemoveNow(core, container);
  return container->view()->record.released() ? absl::OkStatus() : Release(core, *container);
}

// Namespaces do not survive a reboot, nor somebody's umount.
bool HasNamespaces(Core& core, const Pod& pod) {
  return pod.view()->record.boot_id() == core.facts.boot_id &&
         !absl::IsNotFound(OpenPod(core, pod).status());
}

// Undoes or finishes. One whose plugins would not undo their part stays, NOTREADY, to be asked for
// again.
absl::Status RemoveHalf(Core& core, Pod& pod) {
  const PodState state = pod.view()->state;
  absl::Status removed =
      state == PodState::kCreating ? RemoveLogDirectory(pod.view()->record) : absl::OkStatus();
  if (removed.ok()) removed = RemovePod(core, pod);
  if (removed.ok() || state != PodState::kCreating || !OwesDetach(core, pod)) return removed;
  // Best effort: the error is logged, and the attachment has a record of its own.
  (void)pod.cell.Update(core.store,
                        [](SandboxRecord& r) { return Advance(r, PodEvent::kRunFailed); });
  return removed;
}

// Plugins may take long, and the daemon is needed: what asks them goes on beside.
absl::Status InTheBackground(Core& core, const PodPtr& pod,
                             std::function<absl::Status(Core&, Pod&)> work) {
  return core.detaches.Submit([&core, pod, work = std::move(work)] {
    if (core.stopping) return;  // the record owes it to the next start
    const absl::StatusOr<OperationSlot::Held> held = pod->slot.Acquire("reconcile", core.Turn());
    absl::Status done = held.status();
    if (done.ok() && core.pods.Find(pod->id.str()) != nullptr) done = work(core, *pod);
    LogFailure("reconcile pod sandbox", pod->id.str(), done);
  });
}

absl::Status Undo(Core& core, const PodPtr& pod, std::function<absl::Status(Core&, Pod&)> work) {
  return OwesDetach(core, *pod) ? InTheBackground(core, pod, std::move(work)) : work(core, *pod);
}

// What it says from now on; the rest of a stop may follow.
absl::Status MarkNotReady(Core& core, Pod& pod) {
  return pod.cell.Update(core.store, [](SandboxRecord& r) { return Advance(r, PodEvent::kStop); });
}

// Its end while no daemon watched is found here.
absl::Status ReconcileInit(Core& core, Pod& pod) {
  const absl::Status watched = WatchInit(core, pod);
  return absl::IsNotFound(watched) ? RecordInitEnd(core, pod) : watched;
}

absl::Status ReconcilePod(Core& core, const PodPtr& pod) {
  switch (pod->view()->state) {
    case PodState::kCreating:
    case PodState::kRemoving:
      return Undo(core, pod, RemoveHalf);
    case PodState::kReady:
      if (HasNamespaces(core, *pod)) return ReconcileInit(core, *pod);
      RETURN_IF_ERROR(MarkNotReady(core, *pod));
      return Undo(core, pod, StopPod);
    case PodState::kNotReady:
      return OwesDetach(core, *pod) ? InTheBackground(core, pod, StopPod) : absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Reconcile(Core& core) {
  RETURN_IF_ERROR(PrepareDirectories(core.options));
  RETURN_IF_ERROR(LoadPods(core));
  RETURN_IF_ERROR(LoadContainers(core));
  HoldLayers(core);
  BERTH_FAILPOINT(reconcile_after_load);
  // One record that resists does not keep the daemon from starting: it is logged, and stays.
  const std::vector<ContainerPtr> containers = core.containers.All();
  ForEachParallel(containers.size(), kSideBySide, [&](size_t i) {
    LogFailure("reconcile container", containers[i]->id.str(),
               ReconcileContainer(core, containers[i]));
  });
  BERTH_FAILPOINT(reconcile_after_containers);
  for (const PodPtr& pod : core.pods.All()) {
    LogFailure("reconcile pod sandbox", pod->id.str(), ReconcilePod(core, pod));
  }
  BERTH_FAILPOINT(reconcile_after_pods);
  RemoveOrphans(core);
  EmptyTrash(core);
  LogFailure("collect garbage", "images", core.images.CollectGarbage());
  return absl::OkStatus();
}

}  // namespace berth::sandbox
