// ResourcePort: what sandbox/ asks of the host about limits and usage, so that the verbs are tested
// without cgroups. The real one (resource_port.cc) is os::CgroupHost and procfs.
// Implementations are thread-safe.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/os/cgroup.h"
#include "base/os/cgroup_stats.h"
#include "base/os/file.h"
#include "base/os/interface_counters.h"

namespace berth::sandbox {

// An open meter of one cgroup. `may_keep` false: fds are scarce, so it is for one reading.
struct Meter {
  std::function<absl::StatusOr<os::CgroupStats>()> read;
  bool may_keep = true;
};
using MeterPtr = std::shared_ptr<const Meter>;

class ResourcePort {
 public:
  virtual ~ResourcePort() = default;

  // As CgroupHost's.
  virtual absl::StatusOr<std::vector<os::CgroupFile>> Capture(const std::string& cgroup,
                                                              const os::CgroupLimits& limits) = 0;
  virtual absl::Status Change(const std::string& cgroup, const os::CgroupLimits& limits) = 0;
  virtual absl::Status Restore(const std::string& cgroup,
                               const std::vector<os::CgroupFile>& files) = 0;

  virtual absl::StatusOr<int> OomScoreAdj(pid_t pid, uint64_t start_time) = 0;
  virtual absl::Status SetOomScoreAdj(pid_t pid, uint64_t start_time, int value) = 0;

  virtual absl::StatusOr<MeterPtr> OpenMeter(const std::string& cgroup) = 0;
  // Of each network namespace file, in order; an absent one has none.
  virtual absl::StatusOr<std::vector<std::vector<os::InterfaceCounters>>> Interfaces(
      const std::vector<std::string>& network_paths) = 0;
  // At the lowest priority; Cancelled once `stop` is set. An absent directory holds nothing.
  virtual absl::StatusOr<os::TreeUsage> Measure(const std::string& directory,
                                                const std::atomic<bool>& stop) = 0;
};

// `cgroups` is not owned.
std::unique_ptr<ResourcePort> MakeResourcePort(const os::CgroupHost* cgroups);

}  // namespace berth::sandbox
