#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/container_end.h"

namespace berth::sandbox {
namespace {

void LogFailure(absl::string_view what, const ContainerId& id, const absl::Status& status) {
  if (status.ok()) return;
  LogError(what, {{"container", id.str()}, {"error", status.ToString()}});
}

absl::string_view ReasonOf(const shim::ExitRecord& exit) {
  if (exit.oom != shim::OomLevel::kNone) return "OOMKilled";
  return exit.exit_code == 0 ? "Completed" : "Error";
}

absl::string_view MessageOf(const shim::ExitRecord& exit) {
  switch (exit.oom) {
    case shim::OomLevel::kNone:
      return "";
    case shim::OomLevel::kContainer:
      return "out of memory: killed at the container's limit";
    case shim::OomLevel::kPod:
      return "out of memory: killed at the limit of its pod";
    case shim::OomLevel::kNode:
      return "out of memory: killed at the limit of the node, above its pod";
    case shim::OomLevel::kUnknown:
      return "out of memory: killed";
  }
  return "";
}

absl::Status Commit(Core& core, const ContainerPtr& container, int exit_code, int64_t finished_at,
                    absl::string_view reason, absl::string_view message) {
  BERTH_FAILPOINT(exit_before_commit);
  RETURN_IF_ERROR(container->cell.Update(core.store, [&](ContainerRecord& r) -> absl::Status {
    const ContainerState state = StateOf(r);
    if (state == ContainerState::kExited || state == ContainerState::kRemoving) {
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(Advance(r, ContainerEvent::kExit));
    r.set_exit_code(exit_code);
    r.set_finished_at(finished_at);
    r.set_reason(std::string(reason));
    r.set_message(std::string(message));
    return absl::OkStatus();
  }));
  return core.releases.Submit([&core, container] {
    LogFailure("release container", container->id, Release(core, *container));
  });
}

// On the exits pool. The word of a shim that ended in order is on disk by now.
void TakeExit(Core& core, const ContainerPtr& container) {
  const absl::StatusOr<std::optional<shim::ExitRecord>> exit = core.shims->ReadExit(container->id);
  if (exit.ok() && exit->has_value()) {
    LogFailure("record exit", container->id, RecordExit(core, container, **exit));
    return;
  }
  LogFailure("queue recovery", container->id, core.releases.Submit([&core, container] {
    LogFailure("recover container", container->id, RecoverLost(core, container));
  }));
}

}  // namespace

void OnShimEvent(Core& core, const ContainerId& id, shim::WatchEvent event) {
  const ContainerPtr container = core.containers.Find(id.str());
  if (container == nullptr || container->view()->ended()) return;
  if (event == shim::WatchEvent::kShimGone) {
    LogWarning("shim is gone", {{"container", id.str()}});
  }
  LogFailure("queue exit", id,
             core.exits.Submit([&core, container] { TakeExit(core, container); }));
}

absl::Status RecordExit(Core& core, const ContainerPtr& container, const shim::ExitRecord& exit) {
  return Commit(core, container, exit.exit_code, exit.finished_at, ReasonOf(exit), MessageOf(exit));
}

absl::Status RecordExit(Core& core, const ContainerPtr& container, int exit_code,
                        absl::string_view reason, absl::string_view message) {
  return Commit(core, container, exit_code, WallNanos(), reason, message);
}

absl::Status RecoverLost(Core& core, const ContainerPtr& container) {
  const ContainerViewPtr view = container->view();
  if (view->ended()) return absl::OkStatus();
  RETURN_IF_ERROR_CTX(core.host->KillCgroup(view->record.cgroups_path(), core.KillDeadline()),
                      absl::StrCat("kill container ", container->id.str()));
  BERTH_FAILPOINT(recover_after_kill);
  // After the kill: a shim that lives may just have written it.
  const absl::StatusOr<std::optional<shim::ExitRecord>> exit = core.shims->ReadExit(container->id);
  if (exit.ok() && exit->has_value()) return RecordExit(core, container, **exit);
  return RecordExit(core, container, kLostExitCode, "ShimLost",
                    "the container's shim ended without a word; the container was killed");
}

}  // namespace berth::sandbox
