// Changing the limits of a group that is in use: what was there, the change, and the way back.
#include <errno.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/os/cgroup.h"
#include "base/os/cgroup_internal.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

using namespace cgroup_internal;  // NOLINT(google-build-using-namespace): its other half

absl::StatusOr<uint64_t> ReadNumber(const std::string& dir, const std::string& file) {
  ASSIGN_OR_RETURN(const std::string text, Read(dir, file));
  uint64_t value = 0;
  if (!absl::SimpleAtoi(text, &value)) {
    return absl::InternalError(absl::StrCat("parse ", dir, "/", file, ": \"", text, "\""));
  }
  return value;
}

absl::Status InUse(const std::string& path, int64_t wanted, uint64_t used) {
  return absl::FailedPreconditionError(absl::StrCat("limit memory of cgroup ", path, " to ", wanted,
                                                    ": ", used, " bytes are in use"));
}

bool RefusesValue(int error) {
  return error == EINVAL || error == ERANGE || error == EACCES || error == ENOSPC ||
         error == EOPNOTSUPP || error == ENODEV;
}

}  // namespace

std::string CgroupHost::ControllerDir(const std::string& controller,
                                      const std::string& path) const {
  if (const std::string root = V1Root(controller); !root.empty()) return root + path;
  return std::find(v2_controllers_.begin(), v2_controllers_.end(), controller) ==
                 v2_controllers_.end()
             ? ""
             : v2_root_ + path;
}

absl::StatusOr<std::vector<CgroupFile>> CgroupHost::Capture(const std::string& path,
                                                            const CgroupLimits& limits) const {
  RETURN_IF_ERROR(CheckPath(path));
  ASSIGN_OR_RETURN(const std::vector<Setting> settings, Settings(path, limits));
  std::vector<CgroupFile> files;
  for (const Setting& setting : settings) {
    absl::StatusOr<std::string> value = ValueNow(setting);
    // Apply says so itself.
    if (IsErrno(value.status(), ENOENT) && Exists(setting.dir, "cgroup.procs")) continue;
    RETURN_IF_ERROR(value.status());
    files.push_back({absl::StrCat(setting.dir, "/", setting.file), *std::move(value)});
  }
  return files;
}

absl::Status CgroupHost::Change(const std::string& path, const CgroupLimits& limits) const {
  const int64_t memory = limits.memory_bytes.value_or(-1);
  const std::string dir = ControllerDir("memory", path);
  const bool v2 = layout_ == CgroupLayout::kV2;
  const std::string usage_file = v2 ? "memory.current" : "memory.usage_in_bytes";
  uint64_t used = 0;
  if (memory >= 0 && !dir.empty()) {
    ASSIGN_OR_RETURN(used, ReadNumber(dir, usage_file));
    if (used > static_cast<uint64_t>(memory)) {
      // A v2 kernel takes any limit and then kills, so all but idle file pages counts as in use; a
      // v1 kernel tries to make room and says when it cannot.
      ASSIGN_OR_RETURN(const uint64_t idle,
                       ReadKey(dir, "memory.stat", v2 ? "inactive_file" : "total_inactive_file"));
      ASSIGN_OR_RETURN(const uint64_t active,
                       ReadKey(dir, "memory.stat", v2 ? "active_file" : "total_active_file"));
      const uint64_t reclaimable = v2 ? idle : idle + active;
      const uint64_t needed = used - std::min(used, reclaimable);
      if (needed > static_cast<uint64_t>(memory)) return InUse(path, memory, needed);
    }
  }
  absl::Status applied = Apply(path, limits);
  if (IsErrno(applied, EBUSY) && memory >= 0) {
    return Annotate(InUse(path, memory, ReadNumber(dir, usage_file).value_or(used)),
                    applied.message());
  }
  return RefusesValue(ErrnoOf(applied)) ? absl::InvalidArgumentError(applied.message()) : applied;
}

absl::Status CgroupHost::Restore(const std::string& path,
                                 const std::vector<CgroupFile>& files) const {
  RETURN_IF_ERROR(CheckPath(path));
  const std::vector<std::string> dirs = Dirs(path);
  for (const CgroupFile& file : files) {
    const std::string dir = file.path.substr(0, std::min(file.path.rfind('/'), file.path.size()));
    if (std::find(dirs.begin(), dirs.end(), dir) == dirs.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("restore cgroup ", path, ": ", file.path, " is not a file of it"));
    }
  }
  std::vector<Setting> writes;
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    const size_t slash = file->path.rfind('/');
    writes.push_back({file->path.substr(0, slash), file->path.substr(slash + 1), file->value});
  }
  return Annotate(WriteInRounds(std::move(writes)), absl::StrCat("restore cgroup ", path));
}

}  // namespace berth::os
