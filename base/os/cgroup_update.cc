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

struct Name {
  std::string dir;
  std::string file;
};

void AddHugepages(const std::string& dir, const CgroupLimits& limits, absl::string_view end,
                  std::vector<Name>* names) {
  for (const auto& [size, bytes] : limits.hugepage_bytes) {
    names->push_back({dir, absl::StrCat("hugetlb.", size, end)});
    names->push_back({dir, absl::StrCat("hugetlb.", size, ".rsvd", end)});
  }
}

// The files of the v1 form. Between memory.limit and memory.memsw.limit the order depends on the
// direction of the change; Restore finds it by itself.
std::vector<Name> V1Names(const CgroupHost& host, const std::string& path,
                          const CgroupLimits& limits) {
  std::vector<Name> names;
  const auto add = [&](bool wanted, const char* controller, const char* file) {
    const std::string dir = host.ControllerDir(controller, path);
    if (wanted && !dir.empty()) names.push_back({dir, file});
  };
  const bool memory = limits.memory_bytes.has_value() || limits.memory_swap_bytes.has_value();
  add(limits.cpu_shares.has_value(), "cpu", "cpu.shares");
  add(limits.cpu_period_us.has_value(), "cpu", "cpu.cfs_period_us");
  add(limits.cpu_quota_us.has_value(), "cpu", "cpu.cfs_quota_us");
  add(!limits.cpuset_cpus.empty(), "cpuset", "cpuset.cpus");
  add(!limits.cpuset_mems.empty(), "cpuset", "cpuset.mems");
  add(memory, "memory", "memory.limit_in_bytes");
  add(memory, "memory", "memory.memsw.limit_in_bytes");
  add(limits.pids_max.has_value(), "pids", "pids.max");
  if (const std::string dir = host.ControllerDir("hugetlb", path); !dir.empty()) {
    AddHugepages(dir, limits, ".limit_in_bytes", &names);
  }
  return names;
}

std::vector<Name> V2Names(const std::string& dir, const CgroupLimits& limits) {
  std::vector<Name> names;
  const auto add = [&](bool wanted, const std::string& file) {
    if (wanted) names.push_back({dir, file});
  };
  const bool memory = limits.memory_bytes.has_value() || limits.memory_swap_bytes.has_value();
  add(limits.cpu_shares.has_value(), "cpu.weight");
  add(limits.cpu_quota_us.has_value() || limits.cpu_period_us.has_value(), "cpu.max");
  add(!limits.cpuset_cpus.empty(), "cpuset.cpus");
  add(!limits.cpuset_mems.empty(), "cpuset.mems");
  add(memory, "memory.max");
  add(memory, "memory.swap.max");
  add(limits.pids_max.has_value(), "pids.max");
  AddHugepages(dir, limits, ".max", &names);
  for (const auto& [file, value] : limits.unified) add(true, file);
  return names;
}

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
         error == EOPNOTSUPP;
}

// An empty cpuset is written as a line: a write of nothing never reaches the kernel's parser.
absl::Status WriteBack(const CgroupFile& file) {
  const size_t slash = file.path.rfind('/');
  return Write(file.path.substr(0, slash), file.path.substr(slash + 1),
               file.value.empty() ? "\n" : file.value);
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
  const std::vector<Name> names = layout_ == CgroupLayout::kV2 ? V2Names(v2_root_ + path, limits)
                                                               : V1Names(*this, path, limits);
  std::vector<CgroupFile> files;
  for (const Name& name : names) {
    absl::StatusOr<std::string> value = Read(name.dir, name.file);
    // Apply leaves out what this kernel has not, or says so itself.
    if (IsErrno(value.status(), ENOENT) && Exists(name.dir, "cgroup.procs")) continue;
    RETURN_IF_ERROR(value.status());
    files.push_back({absl::StrCat(name.dir, "/", name.file), *std::move(value)});
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
  if (RefusesValue(ErrnoOf(applied)) ||
      // A file that "unified" names and this kernel has not.
      (IsErrno(applied, ENOENT) && !limits.unified.empty() && Exists(v2_root_ + path, ""))) {
    return absl::InvalidArgumentError(applied.message());
  }
  return applied;
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
  // Some pairs bound each other (quota and period, memory and memory + swap): what is refused now
  // may fit once another is back.
  std::vector<CgroupFile> left(files.rbegin(), files.rend());
  for (;;) {
    absl::Status last;
    std::vector<CgroupFile> refused;
    for (CgroupFile& file : left) {
      if (absl::Status s = WriteBack(file); !s.ok()) {
        last = std::move(s);
        refused.push_back(std::move(file));
      }
    }
    if (refused.empty()) return absl::OkStatus();
    if (refused.size() == left.size()) {
      return Annotate(last, absl::StrCat("restore cgroup ", path));
    }
    left = std::move(refused);
  }
}

}  // namespace berth::os
