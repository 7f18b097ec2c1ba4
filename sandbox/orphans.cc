#include "sandbox/orphans.h"

#include <fcntl.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "sandbox/paths.h"
#include "sandbox/pod_resources.h"
#include "sandbox/trash.h"

namespace berth::sandbox {
namespace {

constexpr char kShimsCgroup[] = "shims";  // <cgroup root>/shims/<container id>, see shim/launcher.h

void Report(absl::string_view what, const std::string& id, const absl::Status& status) {
  if (status.ok()) {
    LogWarning("removed what no record names", {{"what", what}, {"id", id}});
  } else {
    LogError("remove what no record names",
             {{"what", what}, {"id", id}, {"error", status.ToString()}});
  }
}

// Names in a directory that are ids; nothing when the directory is not there.
std::vector<std::string> IdsIn(const std::string& dir) {
  std::vector<std::string> ids;
  const absl::StatusOr<std::vector<std::string>> names = os::ListDir(AT_FDCWD, dir);
  if (!names.ok()) return ids;
  for (const std::string& name : *names) {
    if (IsHexId(name)) ids.push_back(name);
  }
  return ids;
}

bool IsContainer(const Core& core, const std::string& id) {
  return core.containers.Find(id) != nullptr;
}

// A shim with what it serves: found by its run directory, its cgroup or its data.
void RemoveShims(Core& core) {
  std::set<std::string> ids;
  for (std::string& id : IdsIn(paths::RunDirs(core.options))) ids.insert(std::move(id));
  for (std::string& id :
       core.host->ListCgroups(absl::StrCat(core.options.cgroup_root, "/", kShimsCgroup))) {
    ids.insert(std::move(id));
  }
  for (const std::string& text : ids) {
    const absl::StatusOr<ContainerId> id = ContainerId::Parse(text);
    if (!id.ok() || IsContainer(core, text)) continue;
    // The shims' own group of the same name goes with Remove; this is the container's.
    std::string cgroup = core.host->FindCgroup(text);
    if (cgroup == absl::StrCat(core.options.cgroup_root, "/", kShimsCgroup, "/", text))
      cgroup.clear();
    Report("shim", text, core.launcher.Remove(*id, cgroup, core.KillDeadline()));
  }
}

void RemoveContainerData(Core& core) {
  for (const std::string& text : IdsIn(paths::ContainerDirs(core.options))) {
    if (IsContainer(core, text)) continue;
    Report("container directory", text, MoveToTrash(core, *ContainerId::Parse(text)));
  }
}

void RemovePodCgroups(Core& core) {
  for (const std::string& text : core.host->ListCgroups(core.options.cgroup_root)) {
    if (!IsHexId(text) || core.pods.Find(text) != nullptr) continue;
    const std::string path = absl::StrCat(core.options.cgroup_root, "/", text);
    absl::Status removed = core.host->KillCgroup(path, core.KillDeadline());
    if (removed.ok()) removed = core.host->RemoveCgroup(path, {}, core.KillDeadline());
    Report("cgroup", text, removed);
  }
}

void RemovePins(Core& core) {
  for (const std::string& text : core.host->PinnedPods()) {
    if (!IsHexId(text) || core.pods.Find(text) != nullptr) continue;
    // Its init, if it had one, was in a cgroup of this name.
    if (const std::string cgroup = core.host->FindCgroup("init-" + text); !cgroup.empty()) {
      Report("pod init", text, core.launcher.RemovePodInit(cgroup, core.KillDeadline()));
    }
    const SandboxId id = *SandboxId::Parse(text);
    Report("pinned namespaces", text,
           core.host->UnpinNamespaces({text, paths::NetworkPin(core.options, id), ""}));
  }
}

// What plugins did for a pod that is in no record. Their network namespace went with the pin, and
// they may take long: beside, as for pods.
void DetachStrays(Core& core) {
  for (const std::string& id : core.network.Attached()) {
    if (core.pods.Find(id) != nullptr) continue;
    const absl::Status submitted = core.detaches.Submit([&core, id] {
      if (core.stopping) return;  // the record owes it to the next start
      Report("network attachment", id,
             core.network.Detach(id, "", Deadline::After(core.options.detach_timeout)));
    });
    if (!submitted.ok()) Report("network attachment", id, submitted);
  }
}

void RemovePodData(Core& core) {
  for (const std::string& text : IdsIn(paths::PodDirs(core.options))) {
    if (core.pods.Find(text) != nullptr) continue;
    Report("pod directory", text, RemovePodFiles(core, *SandboxId::Parse(text)));
  }
}

}  // namespace

void RemoveOrphans(Core& core) {
  RemoveShims(core);
  RemoveContainerData(core);
  RemovePodCgroups(core);
  RemovePins(core);
  DetachStrays(core);
  RemovePodData(core);
}

}  // namespace berth::sandbox
