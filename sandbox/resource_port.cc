#include "sandbox/resource_port.h"

#include <fcntl.h>
#include <sys/resource.h>

#include "base/os/measure.h"
#include "base/os/process.h"
#include "base/status_macros.h"

namespace berth::sandbox {
namespace {

// Kept meters may take this part of the fds that the process can have: everything else comes first.
constexpr int kPartOfFds = 4;

int MaxKeptMeters() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 20)) / kPartOfFds /
         os::CgroupMeter::kMaxFds;
}

class LinuxResourcePort : public ResourcePort {
 public:
  explicit LinuxResourcePort(const os::CgroupHost* cgroups) : cgroups_(*cgroups) {}

  absl::StatusOr<std::vector<os::CgroupFile>> Capture(const std::string& cgroup,
                                                      const os::CgroupLimits& limits) override {
    return cgroups_.Capture(cgroup, limits);
  }
  absl::Status Change(const std::string& cgroup, const os::CgroupLimits& limits) override {
    return cgroups_.Change(cgroup, limits);
  }
  absl::Status Restore(const std::string& cgroup,
                       const std::vector<os::CgroupFile>& files) override {
    return cgroups_.Restore(cgroup, files);
  }
  absl::StatusOr<int> OomScoreAdj(pid_t pid, uint64_t start_time) override {
    return os::OomScoreAdj(pid, start_time);
  }
  absl::Status SetOomScoreAdj(pid_t pid, uint64_t start_time, int value) override {
    return os::SetOomScoreAdj(pid, start_time, value);
  }
  absl::StatusOr<MeterPtr> OpenMeter(const std::string& cgroup) override {
    ASSIGN_OR_RETURN(os::CgroupMeter opened, os::CgroupMeter::Open(cgroups_, cgroup));
    const bool may_keep = open_->fetch_add(1) < max_kept_;
    // The counter outlives this port where a meter does.
    const std::shared_ptr<os::CgroupMeter> meter(new os::CgroupMeter(std::move(opened)),
                                                 [open = open_](os::CgroupMeter* m) {
                                                   delete m;
                                                   open->fetch_sub(1);
                                                 });
    return std::make_shared<const Meter>(Meter{[meter] { return meter->Read(); }, may_keep});
  }
  absl::StatusOr<std::vector<std::vector<os::InterfaceCounters>>> Interfaces(
      const std::vector<std::string>& network_paths) override {
    return os::ReadInterfaceCounters(network_paths);
  }
  absl::StatusOr<os::TreeUsage> Measure(const std::string& directory,
                                        const std::atomic<bool>& stop) override {
    os::YieldToOthers();
    return os::MeasureTreeUnless(AT_FDCWD, directory, stop);
  }

 private:
  const os::CgroupHost& cgroups_;
  const int max_kept_ = MaxKeptMeters();
  const std::shared_ptr<std::atomic<int>> open_ = std::make_shared<std::atomic<int>>(0);
};

}  // namespace

std::unique_ptr<ResourcePort> MakeResourcePort(const os::CgroupHost* cgroups) {
  return std::make_unique<LinuxResourcePort>(cgroups);
}

}  // namespace berth::sandbox
