#include "shim/front/destroy_container.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"
#include "shim/front/hooks.h"
#include "shim/front/launch.h"

namespace berth::shim::front {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr int kMaxMakes = 8;

std::vector<std::string> RootsOf(const os::CgroupHost& cgroups) {
  std::vector<std::string> roots;
  for (const auto& [controllers, root] : cgroups.v1_roots()) roots.push_back(root);
  if (!cgroups.v2_root().empty()) roots.push_back(cgroups.v2_root());
  return roots;
}

// Parents of the group down from `topmost`, as far as they are empty: others may use them by now.
void PruneParents(const os::CgroupHost& cgroups, const std::string& group,
                  const std::string& topmost) {
  if (topmost.empty()) return;
  std::string parent = group.substr(0, group.rfind('/'));
  while (parent.size() >= topmost.size()) {
    for (const std::string& root : RootsOf(cgroups)) (void)rmdir((root + parent).c_str());
    parent = parent.substr(0, parent.rfind('/'));
  }
}

}  // namespace

absl::Status CheckUnused(const os::CgroupHost& cgroups, const std::string& group) {
  ASSIGN_OR_RETURN(const std::vector<pid_t> pids, cgroups.Pids(group));
  if (pids.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("linux.cgroupsPath: there are ", pids.size(), " processes in cgroup ", group));
}

std::string TopmostMissing(const os::CgroupHost& cgroups, const std::string& group) {
  if (absl::StartsWith(group, absl::StrCat(kDefaultParent, "/"))) return kDefaultParent;
  const std::string root = RootsOf(cgroups).front();
  for (size_t end = group.find('/', 1);; end = group.find('/', end + 1)) {
    std::string prefix = group.substr(0, end);
    struct stat st;
    if (stat((root + prefix).c_str(), &st) != 0) return prefix;
    if (end == std::string::npos) return group;
  }
}

absl::Status MakeGroup(const os::CgroupHost& cgroups, const ContainerRecord& record,
                       const os::CgroupLimits& limits) {
  // A container that ends may take an empty parent away between two steps of ours.
  absl::Status made;
  for (int i = 0; i < kMaxMakes; ++i) {
    made = cgroups.Create(record.cgroup).status();
    if (!os::IsErrno(made, ENOENT)) break;
  }
  RETURN_IF_ERROR(made);
  return cgroups.Apply(record.cgroup, limits);
}

absl::Status DestroyContainer(const os::CgroupHost& cgroups, const ContainerRecord& record,
                              StateDir* dir) {
  if (!record.cgroup.empty()) {
    const Deadline deadline = Deadline::After(kPatience);
    RETURN_IF_ERROR(cgroups.Kill(record.cgroup, deadline));
    RETURN_IF_ERROR(cgroups.Remove(record.cgroup, deadline));
    PruneParents(cgroups, record.cgroup, record.cgroup_made);
  }
  return dir->Remove();
}

void RunPoststopHooks(const ContainerRecord& record, const oci::Hooks& hooks) {
  if (hooks.poststop.empty()) return;
  RunHooksToTheEnd("poststop", hooks.poststop, OciState(record, Status::kStopped).With(0));
}

}  // namespace berth::shim::front
