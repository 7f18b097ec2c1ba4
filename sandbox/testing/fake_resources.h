// FakeResources: cgroups as a table of files and values, meters that say what the test put in.
// For tests only. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "sandbox/resource_port.h"

namespace berth::sandbox::testing {

class FakeResources {
 public:
  using Files = std::map<std::string, std::string>;  // path of a file -> value

  std::unique_ptr<ResourcePort> MakePort();  // of one Core; the table outlives it

  std::string Get(const std::string& cgroup, const std::string& file) {
    MutexLock lock(&mu_);
    return files_[absl::StrCat(cgroup, "/", file)];
  }
  void FailNextChange(absl::Status error) {  // after it has written everything but the last file
    MutexLock lock(&mu_);
    next_change_ = std::move(error);
  }
  void FailRestores(absl::Status error) {  // until OK is given
    MutexLock lock(&mu_);
    restores_ = std::move(error);
  }
  void SetStats(const std::string& cgroup, os::CgroupStats stats) {
    MutexLock lock(&mu_);
    stats_[cgroup] = stats;
  }
  void SetInterfaces(const std::string& path, std::vector<os::InterfaceCounters> interfaces) {
    MutexLock lock(&mu_);
    interfaces_[path] = std::move(interfaces);
  }
  void SetLayer(os::TreeUsage usage) {
    MutexLock lock(&mu_);
    layer_ = usage;
  }
  int open_meters() const { return *open_; }
  int measurements() {
    MutexLock lock(&mu_);
    return measurements_;
  }
  int oom_score_adj() {
    MutexLock lock(&mu_);
    return oom_score_adj_;
  }

 private:
  class Port;
  absl::StatusOr<os::CgroupStats> Read(const std::string& cgroup) {
    MutexLock lock(&mu_);
    const auto it = stats_.find(cgroup);
    if (it == stats_.end()) return absl::FailedPreconditionError("cgroup is gone");
    return it->second;
  }
  static Files Written(const std::string& cgroup, const os::CgroupLimits& limits) {
    Files files;
    const auto add = [&](bool wanted, const char* file, const absl::AlphaNum& value) {
      if (wanted) files[absl::StrCat(cgroup, "/", file)] = std::string(value.Piece());
    };
    add(limits.cpu_shares.has_value(), "cpu.shares", limits.cpu_shares.value_or(0));
    add(limits.cpu_quota_us.has_value(), "cpu.quota", limits.cpu_quota_us.value_or(0));
    add(!limits.cpuset_cpus.empty(), "cpuset.cpus", limits.cpuset_cpus);
    add(limits.memory_bytes.has_value(), "memory", limits.memory_bytes.value_or(0));
    add(limits.memory_swap_bytes.has_value(), "swap", limits.memory_swap_bytes.value_or(0));
    return files;
  }

  Mutex mu_;
  Files files_ ABSL_GUARDED_BY(mu_);
  absl::Status next_change_ ABSL_GUARDED_BY(mu_);
  absl::Status restores_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, os::CgroupStats> stats_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::vector<os::InterfaceCounters>> interfaces_ ABSL_GUARDED_BY(mu_);
  os::TreeUsage layer_ ABSL_GUARDED_BY(mu_);
  int measurements_ ABSL_GUARDED_BY(mu_) = 0;
  int oom_score_adj_ ABSL_GUARDED_BY(mu_) = 0;
  const std::shared_ptr<std::atomic<int>> open_ = std::make_shared<std::atomic<int>>(0);
};

class FakeResources::Port : public ResourcePort {
 public:
  explicit Port(FakeResources* table) : t_(*table) {}

  absl::StatusOr<std::vector<os::CgroupFile>> Capture(const std::string& cgroup,
                                                      const os::CgroupLimits& limits) override {
    MutexLock lock(&t_.mu_);
    std::vector<os::CgroupFile> files;
    for (const auto& [path, value] : Written(cgroup, limits)) {
      files.push_back({path, t_.files_[path]});
    }
    return files;
  }
  absl::Status Change(const std::string& cgroup, const os::CgroupLimits& limits) override {
    MutexLock lock(&t_.mu_);
    Files written = Written(cgroup, limits);
    absl::Status error = std::exchange(t_.next_change_, absl::OkStatus());
    if (!error.ok() && !written.empty()) written.erase(std::prev(written.end()));
    for (const auto& [path, value] : written) t_.files_[path] = value;
    return error;
  }
  absl::Status Restore(const std::string&, const std::vector<os::CgroupFile>& files) override {
    MutexLock lock(&t_.mu_);
    if (!t_.restores_.ok()) return t_.restores_;
    for (const os::CgroupFile& file : files) t_.files_[file.path] = file.value;
    return absl::OkStatus();
  }
  absl::StatusOr<int> OomScoreAdj(pid_t, uint64_t) override {
    MutexLock lock(&t_.mu_);
    return t_.oom_score_adj_;
  }
  absl::Status SetOomScoreAdj(pid_t, uint64_t, int value) override {
    MutexLock lock(&t_.mu_);
    t_.oom_score_adj_ = value;
    return absl::OkStatus();
  }
  absl::StatusOr<MeterPtr> OpenMeter(const std::string& cgroup) override {
    ++*t_.open_;
    return MeterPtr(new Meter{[table = &t_, cgroup] { return table->Read(cgroup); }},
                    [open = t_.open_](const Meter* meter) {
                      --*open;
                      delete meter;
                    });
  }
  absl::StatusOr<std::vector<std::vector<os::InterfaceCounters>>> Interfaces(
      const std::vector<std::string>& paths) override {
    MutexLock lock(&t_.mu_);
    std::vector<std::vector<os::InterfaceCounters>> all;
    all.reserve(paths.size());
    for (const std::string& path : paths) all.push_back(t_.interfaces_[path]);
    return all;
  }
  absl::StatusOr<os::TreeUsage> Measure(const std::string&, const std::atomic<bool>&) override {
    MutexLock lock(&t_.mu_);
    ++t_.measurements_;
    return t_.layer_;
  }

 private:
  FakeResources& t_;
};

inline std::unique_ptr<ResourcePort> FakeResources::MakePort() {
  return std::make_unique<Port>(this);
}

}  // namespace berth::sandbox::testing
