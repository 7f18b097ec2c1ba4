#include "sandbox/trash.h"

#include <fcntl.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "sandbox/paths.h"

namespace berth::sandbox {
namespace {

absl::Status DeleteAll(const std::string& trash) {
  ASSIGN_OR_RETURN(os::UniqueFd dir, os::Open(trash, O_RDONLY | O_DIRECTORY));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, os::ListDir(dir.get(), "."));
  absl::Status first;
  for (const std::string& name : names) first.Update(os::RemoveTree(dir.get(), name));
  return first;
}

}  // namespace

absl::Status MoveToTrash(Core& core, const ContainerId& id) {
  const std::string from = paths::ContainerDir(core.options, id);
  std::error_code error;
  std::filesystem::rename(from, absl::StrCat(paths::Trash(core.options), "/", id.str()), error);
  if (!error || error.value() == ENOENT) return absl::OkStatus();
  return os::ErrnoStatus(error.value(), absl::StrCat("move to trash ", from));
}

void EmptyTrash(Core& core) {
  const absl::Status queued = core.trash.Submit([trash = paths::Trash(core.options)] {
    if (absl::Status deleted = DeleteAll(trash); !deleted.ok()) {
      LogWarning("empty trash", {{"error", deleted.ToString()}});
    }
  });
  // It stays for the next time.
  if (!queued.ok()) LogWarning("empty trash", {{"error", queued.ToString()}});
}

}  // namespace berth::sandbox
