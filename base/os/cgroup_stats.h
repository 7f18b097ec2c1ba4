// What a control group uses: one meter a group, with its files kept open (reading a kept fd costs a
// third of open, read and close). Sources: kernel Documentation/admin-guide/cgroup-v2.rst,
// cgroup-v1/memory.rst and cpuacct.rst, accounting/psi.rst.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/os/cgroup.h"
#include "base/os/unique_fd.h"

namespace berth::os {

// Pressure stall information: total in microseconds, averages in per cent.
struct Pressure {
  uint64_t total_us = 0;
  double avg10 = 0;
  double avg60 = 0;
  double avg300 = 0;
};
struct PressurePair {
  Pressure some;
  Pressure full;
};

// Unset: this host does not count it. Groups below are counted in.
struct CgroupStats {
  std::optional<uint64_t> cpu_usage_ns;
  struct Memory {
    uint64_t usage = 0;        // with page cache
    uint64_t working_set = 0;  // usage less idle file pages
    uint64_t rss = 0;          // anonymous
    uint64_t faults = 0;
    uint64_t major_faults = 0;
    std::optional<uint64_t> limit;  // unset: none
    std::optional<uint64_t> swap_usage;
    std::optional<uint64_t> swap_limit;  // swap alone; unset: none
  };
  std::optional<Memory> memory;
  std::optional<uint64_t> pids;  // processes and threads
  std::optional<PressurePair> cpu_pressure;
  std::optional<PressurePair> memory_pressure;
  std::optional<PressurePair> io_pressure;
};

// A handle. Read is thread-safe. It does not keep the group from being removed, but the kernel
// keeps some of a removed group's memory until the meter is gone.
class CgroupMeter {
 public:
  // Of files that do not exist nothing is read. FailedPrecondition when the group is not there.
  static absl::StatusOr<CgroupMeter> Open(const CgroupHost& host, const std::string& path);
  // Most fds that one meter holds.
  static constexpr int kMaxFds = 11;

  // FailedPrecondition once the group is gone.
  absl::StatusOr<CgroupStats> Read() const;

 private:
  CgroupMeter() = default;
  absl::Status ReadMemory(CgroupStats* stats) const;

  std::string path_;
  bool cpu_v2_ = false;
  bool memory_v2_ = false;
  UniqueFd cpu_;
  UniqueFd memory_stat_;
  UniqueFd memory_usage_;
  UniqueFd memory_limit_;
  UniqueFd swap_usage_;  // v2; v1 has it in memory.stat
  UniqueFd swap_limit_;  // v1: memory + swap
  UniqueFd pids_;
  UniqueFd cpu_pressure_;
  UniqueFd memory_pressure_;
  UniqueFd io_pressure_;
};

}  // namespace berth::os
