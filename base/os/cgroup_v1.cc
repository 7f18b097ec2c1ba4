#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/os/cgroup_internal.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::os::cgroup_internal {
namespace {

absl::Status ApplyCpu(const std::string& dir, const CgroupLimits& limits) {
  if (dir.empty()) return absl::OkStatus();
  if (limits.cpu_shares.has_value()) {
    RETURN_IF_ERROR(Write(dir, "cpu.shares", absl::StrCat(*limits.cpu_shares)));
  }
  bool quota_written = false;
  if (limits.cpu_period_us.has_value()) {
    const std::string period = absl::StrCat(*limits.cpu_period_us);
    absl::Status status = Write(dir, "cpu.cfs_period_us", period);
    // Each write is checked against the parent's share with the other value as it is now: when the
    // new period does not fit the old quota, the quota goes first.
    if (IsErrno(status, EINVAL) && limits.cpu_quota_us.has_value()) {
      RETURN_IF_ERROR(Write(dir, "cpu.cfs_quota_us", absl::StrCat(*limits.cpu_quota_us)));
      quota_written = true;
      status = Write(dir, "cpu.cfs_period_us", period);
    }
    RETURN_IF_ERROR(status);
  }
  if (limits.cpu_quota_us.has_value() && !quota_written) {
    RETURN_IF_ERROR(Write(dir, "cpu.cfs_quota_us", absl::StrCat(*limits.cpu_quota_us)));
  }
  return absl::OkStatus();
}

absl::Status ApplyCpuset(const std::string& dir, const CgroupLimits& limits) {
  if (dir.empty()) return absl::OkStatus();
  if (!limits.cpuset_cpus.empty()) {
    RETURN_IF_ERROR(Write(dir, "cpuset.cpus", limits.cpuset_cpus));
  }
  if (!limits.cpuset_mems.empty()) {
    RETURN_IF_ERROR(Write(dir, "cpuset.mems", limits.cpuset_mems));
  }
  return absl::OkStatus();
}

// True when `wanted` (-1: unlimited) is more than `file` has now.
absl::StatusOr<bool> Raises(const std::string& dir, const std::string& file, int64_t wanted) {
  if (wanted < 0) return true;
  ASSIGN_OR_RETURN(const std::string text, Read(dir, file));
  uint64_t now = 0;
  if (!absl::SimpleAtoi(text, &now)) {
    return absl::InternalError(absl::StrCat("parse ", dir, "/", file, ": \"", text, "\""));
  }
  return static_cast<uint64_t>(wanted) > now;
}

// The kernel keeps limit <= memsw limit at every moment, so the order depends on the direction.
absl::Status ApplyMemory(const std::string& dir, const CgroupLimits& limits) {
  if (dir.empty()) return absl::OkStatus();
  constexpr char kLimit[] = "memory.limit_in_bytes";
  constexpr char kSwap[] = "memory.memsw.limit_in_bytes";
  std::optional<int64_t> swap = limits.memory_swap_bytes;
  // Memory without a limit under an old limit of memory + swap is no limit of nothing.
  if (!swap.has_value() && limits.memory_bytes.value_or(0) < 0) swap = -1;
  if (!Exists(dir, kSwap)) swap.reset();  // a kernel without swap accounting has no swap to limit
  bool swap_first = false;
  if (swap.has_value()) {
    ASSIGN_OR_RETURN(swap_first, Raises(dir, kSwap, *swap));
    if (swap_first) RETURN_IF_ERROR(Write(dir, kSwap, absl::StrCat(*swap)));
  }
  if (limits.memory_bytes.has_value()) {
    RETURN_IF_ERROR(Write(dir, kLimit, absl::StrCat(*limits.memory_bytes)));
  }
  if (swap.has_value() && !swap_first) {
    RETURN_IF_ERROR(Write(dir, kSwap, absl::StrCat(*swap)));
  }
  return absl::OkStatus();
}

absl::Status ApplyPids(const std::string& dir, const CgroupLimits& limits) {
  if (dir.empty() || !limits.pids_max.has_value()) return absl::OkStatus();
  return Write(dir, "pids.max", *limits.pids_max < 0 ? "max" : absl::StrCat(*limits.pids_max));
}

absl::Status ApplyHugepages(const std::string& dir, const CgroupLimits& limits) {
  if (dir.empty()) return absl::OkStatus();
  for (const auto& [size, bytes] : limits.hugepage_bytes) {
    RETURN_IF_ERROR(
        Write(dir, absl::StrCat("hugetlb.", size, ".limit_in_bytes"), absl::StrCat(bytes)));
    // Reservations of mmap count apart; since Linux 5.7.
    const std::string reserved = absl::StrCat("hugetlb.", size, ".rsvd.limit_in_bytes");
    if (Exists(dir, reserved)) RETURN_IF_ERROR(Write(dir, reserved, absl::StrCat(bytes)));
  }
  return absl::OkStatus();
}

absl::Status ApplyDevices(const std::string& dir, const CgroupLimits& limits) {
  if (dir.empty() || limits.devices.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd allow, Open(absl::StrCat(dir, "/devices.allow"), O_WRONLY));
  ASSIGN_OR_RETURN(const UniqueFd deny, Open(absl::StrCat(dir, "/devices.deny"), O_WRONLY));
  for (const CgroupLimits::DeviceRule& rule : limits.devices) {
    ASSIGN_OR_RETURN(const std::string text, DeviceRuleText(rule));
    const int fd = rule.allow ? allow.get() : deny.get();
    if (write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
      return ErrnoStatus(errno, absl::StrCat("write \"", text, "\" to ", dir,
                                             rule.allow ? "/devices.allow" : "/devices.deny"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> DeviceRuleText(const CgroupLimits::DeviceRule& rule) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("device rule: ", why));
  };
  if (rule.access.empty() || rule.access.find_first_not_of("rwm") != std::string::npos) {
    return bad(absl::StrCat("access \"", rule.access, "\" is not made of r, w and m"));
  }
  if (rule.type == 'a') {
    // The kernel takes "a" for everything, whatever follows.
    if (rule.major.has_value() || rule.minor.has_value() || rule.access.size() != 3) {
      return bad("type a means every device and every access");
    }
    return std::string("a");
  }
  if (rule.type != 'b' && rule.type != 'c') {
    return bad(absl::StrCat("type \"", std::string(1, rule.type), "\" is none of a, b, c"));
  }
  const auto number = [](const std::optional<int64_t>& n) {
    return n.has_value() && *n >= 0 ? absl::StrCat(*n) : std::string("*");
  };
  return absl::StrCat(std::string(1, rule.type), " ", number(rule.major), ":", number(rule.minor),
                      " ", rule.access);
}

absl::Status ApplyV1(const V1Dir& dir_of, const CgroupLimits& limits) {
  RETURN_IF_ERROR(ApplyCpu(dir_of("cpu"), limits));
  RETURN_IF_ERROR(ApplyCpuset(dir_of("cpuset"), limits));
  RETURN_IF_ERROR(ApplyMemory(dir_of("memory"), limits));
  RETURN_IF_ERROR(ApplyPids(dir_of("pids"), limits));
  RETURN_IF_ERROR(ApplyHugepages(dir_of("hugetlb"), limits));
  return ApplyDevices(dir_of("devices"), limits);
}

}  // namespace berth::os::cgroup_internal
