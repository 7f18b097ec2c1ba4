#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/os/cgroup_internal.h"
#include "base/status_macros.h"

namespace berth::os::cgroup_internal {
namespace {

std::string OrMax(int64_t value) { return value < 0 ? "max" : absl::StrCat(value); }

absl::Status ApplyCpu(const std::string& dir, const CgroupLimits& limits) {
  if (!Exists(dir, "cpu.max")) return absl::OkStatus();
  if (limits.cpu_shares.value_or(0) != 0) {
    RETURN_IF_ERROR(Write(dir, "cpu.weight", absl::StrCat(CpuWeight(*limits.cpu_shares))));
  }
  if (!limits.cpu_quota_us.has_value() && !limits.cpu_period_us.has_value()) {
    return absl::OkStatus();
  }
  // "quota" alone keeps the period; a period alone needs the quota as it is.
  std::string value;
  if (limits.cpu_quota_us.has_value()) {
    value = OrMax(*limits.cpu_quota_us);
  } else {
    ASSIGN_OR_RETURN(const std::string now, Read(dir, "cpu.max"));
    value = now.substr(0, now.find(' '));
  }
  if (limits.cpu_period_us.has_value()) absl::StrAppend(&value, " ", *limits.cpu_period_us);
  return Write(dir, "cpu.max", value);
}

absl::Status ApplyCpuset(const std::string& dir, const CgroupLimits& limits) {
  if (!Exists(dir, "cpuset.cpus")) return absl::OkStatus();
  if (!limits.cpuset_cpus.empty()) {
    RETURN_IF_ERROR(Write(dir, "cpuset.cpus", limits.cpuset_cpus));
  }
  if (!limits.cpuset_mems.empty()) {
    RETURN_IF_ERROR(Write(dir, "cpuset.mems", limits.cpuset_mems));
  }
  return absl::OkStatus();
}

// v1 counts memory + swap, v2 swap alone.
absl::Status ApplyMemory(const std::string& dir, const CgroupLimits& limits) {
  std::optional<std::string> swap;
  if (limits.memory_swap_bytes.has_value() && *limits.memory_swap_bytes >= 0) {
    const int64_t memory = limits.memory_bytes.value_or(-1);
    if (memory < 0 || *limits.memory_swap_bytes < memory) {
      return absl::InvalidArgumentError(absl::StrCat("limit swap of ", dir, ": memory + swap of ",
                                                     *limits.memory_swap_bytes,
                                                     " needs a memory limit that is not above it"));
    }
    swap = absl::StrCat(*limits.memory_swap_bytes - memory);
  } else if (limits.memory_swap_bytes.has_value() || limits.memory_bytes.value_or(0) < 0) {
    swap = "max";
  }
  if (limits.memory_bytes.has_value()) {
    RETURN_IF_ERROR(Write(dir, "memory.max", OrMax(*limits.memory_bytes)));
  }
  // A kernel without swap accounting has no swap to limit.
  if (swap.has_value() && Exists(dir, "memory.swap.max")) {
    RETURN_IF_ERROR(Write(dir, "memory.swap.max", *swap));
  }
  return absl::OkStatus();
}

absl::Status ApplyHugepages(const std::string& dir, const CgroupLimits& limits) {
  for (const auto& [size, bytes] : limits.hugepage_bytes) {
    const std::string file = absl::StrCat("hugetlb.", size, ".max");
    if (!Exists(dir, file)) continue;
    RETURN_IF_ERROR(Write(dir, file, absl::StrCat(bytes)));
    // Reservations of mmap count apart; since Linux 5.7.
    const std::string reserved = absl::StrCat("hugetlb.", size, ".rsvd.max");
    if (Exists(dir, reserved)) RETURN_IF_ERROR(Write(dir, reserved, absl::StrCat(bytes)));
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t CpuWeight(uint64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  // A curve through (2, 1), (1024, 100) and (262144, 10000): a default group stays a default group.
  const double l = std::log2(static_cast<double>(shares));
  const double weight = std::pow(10.0, l * l / 612 + 125 * l / 612 - 7.0 / 34);
  // The subtraction keeps a rounding error of the exact points from becoming a step.
  return std::clamp<uint64_t>(static_cast<uint64_t>(std::ceil(weight - 1e-9)), 1, 10000);
}

absl::Status ApplyV2Unified(const std::string& dir, const CgroupLimits& limits) {
  for (const auto& [file, value] : limits.unified) {
    if (file.empty() || file.find('/') != std::string::npos || file[0] == '.') {
      return absl::InvalidArgumentError(
          absl::StrCat("set \"", file, "\" of cgroup ", dir, ": not a file name"));
    }
    RETURN_IF_ERROR(Write(dir, file, value));
  }
  return absl::OkStatus();
}

absl::Status ApplyV2(const std::string& dir, const CgroupLimits& limits) {
  RETURN_IF_ERROR(ApplyCpu(dir, limits));
  RETURN_IF_ERROR(ApplyCpuset(dir, limits));
  RETURN_IF_ERROR(ApplyMemory(dir, limits));
  if (limits.pids_max.has_value()) {
    RETURN_IF_ERROR(Write(dir, "pids.max", OrMax(*limits.pids_max)));
  }
  RETURN_IF_ERROR(ApplyHugepages(dir, limits));
  if (!limits.devices.empty()) {
    ASSIGN_OR_RETURN(const std::vector<bpf_insn> program, DeviceProgram(limits.devices));
    RETURN_IF_ERROR(AttachDeviceProgram(dir, program));
  }
  return ApplyV2Unified(dir, limits);
}

}  // namespace berth::os::cgroup_internal
