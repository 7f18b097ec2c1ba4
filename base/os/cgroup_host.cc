#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/failpoint.h"
#include "base/os/cgroup.h"
#include "base/os/cgroup_internal.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

using namespace cgroup_internal;  // NOLINT(google-build-using-namespace): its other half

constexpr const char* kV1Controllers[] = {"cpu",     "cpuacct",    "cpuset", "memory",  "devices",
                                          "freezer", "blkio",      "pids",   "net_cls", "net_prio",
                                          "hugetlb", "perf_event", "rdma",   "misc"};
// Without these in its parent a v2 group is limited and measured by nobody.
constexpr const char* kNeededOnV2[] = {"cpu", "cpuset", "io", "memory", "pids"};

// Hierarchies are mounted at their controllers' names, by convention of every init: "cpu,cpuacct";
// any other name is a named hierarchy ("systemd").
std::string V1Key(const std::string& directory) {
  for (absl::string_view part : absl::StrSplit(directory, ',')) {
    if (std::find(std::begin(kV1Controllers), std::end(kV1Controllers), part) ==
        std::end(kV1Controllers)) {
      return absl::StrCat("name=", directory);
    }
  }
  return directory;
}

bool ListHas(absl::string_view list, absl::string_view word, char separator) {
  const std::vector<absl::string_view> words = absl::StrSplit(list, separator);
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string ParentOf(const std::string& dir) { return dir.substr(0, dir.rfind('/')); }

// mkdir -p below `root`; appends what was made, parents first. One call when the parent is there.
absl::Status MakeGroup(const std::string& root, const std::string& dir,
                       std::vector<std::string>* made) {
  if (mkdir(dir.c_str(), 0755) == 0) {
    made->push_back(dir);
    return absl::OkStatus();
  }
  if (errno == EEXIST) return absl::OkStatus();
  if (errno != ENOENT || dir.size() <= root.size()) {
    return ErrnoStatus(errno, absl::StrCat("make cgroup ", dir));
  }
  RETURN_IF_ERROR(MakeGroup(root, ParentOf(dir), made));
  if (mkdir(dir.c_str(), 0755) == 0) {
    made->push_back(dir);
  } else if (errno != EEXIST) {
    return ErrnoStatus(errno, absl::StrCat("make cgroup ", dir));
  }
  return absl::OkStatus();
}

// A v1 cpuset group takes no process before it has cpus and mems.
absl::Status FillCpuset(const std::string& root, const std::string& dir) {
  if (dir.size() <= root.size()) return absl::OkStatus();
  for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
    ASSIGN_OR_RETURN(const std::string own, Read(dir, file));
    if (!own.empty()) continue;
    RETURN_IF_ERROR(FillCpuset(root, ParentOf(dir)));
    ASSIGN_OR_RETURN(const std::string inherited, Read(ParentOf(dir), file));
    RETURN_IF_ERROR(Write(dir, file, inherited));
  }
  return absl::OkStatus();
}

// Enables what `root` offers in every group above `dir`, from the top. A new group needs it only in
// its direct parent, when that has it: a controller is never enabled below a gap.
absl::Status EnableControllers(const std::string& root, const std::string& dir,
                               const std::vector<std::string>& controllers) {
  if (dir.size() <= root.size()) return absl::OkStatus();
  const std::string parent = ParentOf(dir);
  ASSIGN_OR_RETURN(const std::string enabled, Read(parent, "cgroup.subtree_control"));
  std::vector<std::string> missing;
  for (const std::string& controller : controllers) {
    if (!ListHas(enabled, controller, ' ')) missing.push_back(controller);
  }
  if (missing.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(EnableControllers(root, parent, controllers));
  for (const std::string& controller : missing) {
    absl::Status status = Write(parent, "cgroup.subtree_control", absl::StrCat("+", controller));
    const bool matters = std::find(std::begin(kNeededOnV2), std::end(kNeededOnV2), controller) !=
                         std::end(kNeededOnV2);
    if (!status.ok() && matters) return status;
  }
  return absl::OkStatus();
}

// What one Create made, removed again unless kept.
class Made {
 public:
  Made() = default;
  Made(const Made&) = delete;
  Made& operator=(const Made&) = delete;
  ~Made() {
    // Empty and our own: the error that brought us here is the one to report.
    for (auto it = dirs.rbegin(); it != dirs.rend(); ++it) (void)rmdir(it->c_str());
  }
  std::vector<std::string> dirs;
};

}  // namespace

absl::StatusOr<CgroupHost> CgroupHost::Probe(const std::string& mount_root) {
  CgroupHost host;
  if (Exists(mount_root, "cgroup.controllers")) {
    host.v2_root_ = mount_root;
  } else {
    ASSIGN_OR_RETURN_CTX(const std::vector<std::string> names, ListDir(AT_FDCWD, mount_root),
                         "probe cgroups");
    for (const std::string& name : names) {
      const std::string dir = absl::StrCat(mount_root, "/", name);
      struct stat st;
      // Links ("cpu" -> "cpu,cpuacct") are second names.
      if (lstat(dir.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) continue;
      if (Exists(dir, "cgroup.controllers")) {
        host.v2_root_ = dir;
      } else if (Exists(dir, "tasks") && Exists(dir, "cgroup.procs")) {
        host.v1_roots_[V1Key(name)] = dir;
      }
    }
  }
  if (host.v2_root_.empty() && host.v1_roots_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("probe cgroups: nothing is mounted at ", mount_root));
  }
  host.layout_ = host.v1_roots_.empty()  ? CgroupLayout::kV2
                 : host.v2_root_.empty() ? CgroupLayout::kV1
                                         : CgroupLayout::kHybrid;
  // A hybrid host's v2 tree is for killing and watching. With a controller enabled in it, its inner
  // groups could hold no processes, which others on such a host do not expect.
  if (host.layout_ == CgroupLayout::kV2) {
    ASSIGN_OR_RETURN(const std::string list, Read(host.v2_root_, "cgroup.controllers"));
    host.v2_controllers_ = absl::StrSplit(list, ' ', absl::SkipEmpty());
  }
  return host;
}

std::string CgroupHost::V1Root(const std::string& controller) const {
  for (const auto& [key, root] : v1_roots_) {
    if (ListHas(key, controller, ',')) return root;
  }
  return "";
}

std::vector<std::string> CgroupHost::Dirs(const std::string& path) const {
  std::vector<std::string> dirs;
  for (const auto& [key, root] : v1_roots_) dirs.push_back(root + path);
  if (!v2_root_.empty()) dirs.push_back(v2_root_ + path);
  return dirs;
}

bool CgroupHost::Has(const std::string& controller) const {
  if (!V1Root(controller).empty()) return true;
  if (controller == "devices") return layout_ == CgroupLayout::kV2;  // an eBPF program
  return std::find(v2_controllers_.begin(), v2_controllers_.end(), controller) !=
         v2_controllers_.end();
}

absl::StatusOr<std::vector<std::string>> CgroupHost::Create(const std::string& path) const {
  RETURN_IF_ERROR(CheckPath(path));
  Made made;
  std::vector<std::string> topmost;
  for (const auto& [key, root] : v1_roots_) {
    const size_t before = made.dirs.size();
    RETURN_IF_ERROR(MakeGroup(root, root + path, &made.dirs));
    if (made.dirs.size() > before) topmost.push_back(made.dirs[before]);
    if (ListHas(key, "cpuset", ',')) RETURN_IF_ERROR(FillCpuset(root, root + path));
  }
  if (!v2_root_.empty()) {
    const size_t before = made.dirs.size();
    RETURN_IF_ERROR(MakeGroup(v2_root_, v2_root_ + path, &made.dirs));
    if (made.dirs.size() > before) topmost.push_back(made.dirs[before]);
    RETURN_IF_ERROR(EnableControllers(v2_root_, v2_root_ + path, v2_controllers_));
  }
  BERTH_FAILPOINT(cgroup_create_made);
  made.dirs.clear();
  return topmost;
}

absl::StatusOr<CgroupJoin> CgroupHost::OpenJoin(const std::string& path) const {
  RETURN_IF_ERROR(CheckPath(path));
  CgroupJoin join;
  if (!v2_root_.empty()) {
    ASSIGN_OR_RETURN(join.into, Open(v2_root_ + path, O_RDONLY | O_DIRECTORY));
  }
  for (const auto& [key, root] : v1_roots_) {
    ASSIGN_OR_RETURN(UniqueFd tasks, Open(absl::StrCat(root, path, "/tasks"), O_WRONLY));
    join.tasks.push_back(std::move(tasks));
  }
  return join;
}

absl::StatusOr<std::vector<pid_t>> CgroupHost::Pids(const std::string& path) const {
  RETURN_IF_ERROR(CheckPath(path));
  std::set<pid_t> all;
  for (const std::string& dir : Dirs(path)) {
    ASSIGN_OR_RETURN(const std::vector<std::string> tree, TreeOf(dir));
    for (const std::string& group : tree) {
      ASSIGN_OR_RETURN(const std::vector<pid_t> pids, ProcessesOf(group));
      all.insert(pids.begin(), pids.end());
    }
  }
  return std::vector<pid_t>(all.begin(), all.end());
}

absl::StatusOr<uint64_t> CgroupHost::OomKills(const std::string& path) const {
  RETURN_IF_ERROR(CheckPath(path));
  const std::string v1 = V1Root("memory");
  if (!v1.empty()) return ReadKey(v1 + path, "memory.oom_control", "oom_kill");
  if (!Has("memory")) return uint64_t{0};
  return ReadKey(v2_root_ + path, "memory.events", "oom_kill");
}

}  // namespace berth::os
