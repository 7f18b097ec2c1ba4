#include "sandbox/container_files.h"

#include <fcntl.h>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "base/status_macros.h"
#include "sandbox/made_path.h"
#include "sandbox/paths.h"

namespace berth::sandbox {
namespace {

absl::StatusOr<os::UniqueFd> OpenTree(Core& core, const TreeSource& source) {
  absl::StatusOr<os::UniqueFd> tree = core.host->CloneTree(source.host_path);
  if (tree.ok() || !source.make_missing || !os::IsErrno(tree.status(), ENOENT)) return tree;
  // Kubernetes' hostPath without a type counts on it.
  RETURN_IF_ERROR(os::MakeDirs(source.host_path, 0755));
  LogInfo("made missing mount source", {{"path", source.host_path}});
  return core.host->CloneTree(source.host_path);
}

// Asked for what the source cannot give, a container would wait for mounts that never come.
absl::Status CheckPropagation(const TreeSource& source) {
  if (source.propagation == Propagation::kAny) return absl::OkStatus();
  ASSIGN_OR_RETURN(const os::MountEntry mount, os::MountOf(source.host_path));
  const bool both = source.propagation == Propagation::kBothWays;
  if (mount.is_shared || (!both && mount.is_slave)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "mount source \"", source.host_path, "\": propagation ",
      both ? "BIDIRECTIONAL needs a shared mount"
           : "HOST_TO_CONTAINER needs a shared or slave mount",
      ", and it lies on ", mount.target, ", which is ", mount.is_slave ? "a slave" : "private"));
}

}  // namespace

absl::Status MakeContainerDirs(Core& core, const ContainerId& id) {
  const std::string dir = paths::ContainerDir(core.options, id);
  RETURN_IF_ERROR(os::MakeDirs(dir, 0700));
  // The root of the container's file system: what its processes see as the mode of "/".
  RETURN_IF_ERROR(os::EnsureDir(absl::StrCat(dir, "/upper"), 0755));
  return os::EnsureDir(absl::StrCat(dir, "/work"), 0700);
}

std::string LogFile(const std::string& log_directory, const std::string& log_path) {
  if (log_directory.empty() || log_path.empty()) return "";
  return absl::StrCat(log_directory == "/" ? "" : log_directory, "/", log_path);
}

absl::StatusOr<os::UniqueFd> OpenLog(const std::string& log_directory,
                                     const std::string& log_path) {
  const std::string file = LogFile(log_directory, log_path);
  if (file.empty()) return os::UniqueFd();
  RETURN_IF_ERROR(os::MakeDirs(ParentOf(file), 0755));
  ASSIGN_OR_RETURN(os::UniqueFd dir, os::Open(log_directory, O_RDONLY | O_DIRECTORY));
  return os::OpenInRoot(dir.get(), log_path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0640);
}

absl::StatusOr<std::vector<std::pair<int, os::UniqueFd>>> OpenTrees(
    Core& core, const std::vector<TreeSource>& sources, os::DetachedMount shm) {
  std::vector<std::pair<int, os::UniqueFd>> trees;
  for (const TreeSource& source : sources) {
    if (source.host_path.empty()) {
      // NOLINTNEXTLINE(bugprone-use-after-move): the first that took it leaves it invalid
      if (!shm.valid()) return absl::InternalError("open /dev/shm of the pod: it has none");
      trees.emplace_back(source.index, std::move(shm));
      continue;
    }
    absl::StatusOr<os::UniqueFd> tree = OpenTree(core, source);
    if (!tree.ok()) {
      return WithCode(absl::StatusCode::kInvalidArgument, tree.status(),
                      absl::StrCat("open mount source \"", source.host_path, "\""));
    }
    RETURN_IF_ERROR(CheckPropagation(source));
    trees.emplace_back(source.index, *std::move(tree));
  }
  return trees;
}

}  // namespace berth::sandbox
