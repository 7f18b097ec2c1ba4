#include "sandbox/spec_resources.h"

#include <sys/resource.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/os/process.h"
#include "base/status_macros.h"
#include "sandbox/text_rules.h"
#include "sandbox/unimplemented.h"

namespace berth::sandbox {
namespace {

// What the kernel takes: a period of 1 ms to 1 s, a quota of at least 1 ms.
constexpr int64_t kMinPeriod = 1000;
constexpr int64_t kMaxPeriod = 1000000;
constexpr int64_t kMinQuota = 1000;
// Less than the set-up of a container needs itself: it would die before its first instruction.
constexpr int64_t kMinMemory = 512 << 10;
constexpr int kMaxListNumber = 1 << 16;  // CPUs and memory nodes: far above any kernel's

absl::Status BadField(absl::string_view field, const absl::AlphaNum& value, absl::string_view why) {
  return Invalid(absl::StrCat("linux.resources.", field), absl::StrCat(value, why));
}

absl::Status CheckNotBelow(absl::string_view field, int64_t value, int64_t lowest) {
  if (value >= lowest) return absl::OkStatus();
  return BadField(field, value, absl::StrCat(" is below ", lowest));
}

absl::Status CheckCpu(const cri::LinuxContainerResources& r) {
  RETURN_IF_ERROR(CheckNotBelow("cpu_shares", r.cpu_shares(), 0));
  if (r.cpu_period() != 0 && (r.cpu_period() < kMinPeriod || r.cpu_period() > kMaxPeriod)) {
    return BadField("cpu_period", r.cpu_period(), " is not in 1000..1000000 microseconds");
  }
  RETURN_IF_ERROR(CheckNotBelow("cpu_quota", r.cpu_quota(), -1));
  if (r.cpu_quota() > 0 && r.cpu_quota() < kMinQuota) {
    return BadField("cpu_quota", r.cpu_quota(), " is below 1000 microseconds");
  }
  return absl::OkStatus();
}

absl::Status CheckMemory(const cri::LinuxContainerResources& r) {
  const int64_t memory = r.memory_limit_in_bytes();
  const int64_t swap = r.memory_swap_limit_in_bytes();
  RETURN_IF_ERROR(CheckNotBelow("memory_limit_in_bytes", memory, -1));
  if (memory > 0 && memory < kMinMemory) {
    return BadField("memory_limit_in_bytes", memory,
                    absl::StrCat(" is below ", kMinMemory, ", too little for any process"));
  }
  RETURN_IF_ERROR(CheckNotBelow("memory_swap_limit_in_bytes", swap, -1));
  if (swap > 0 && memory == -1) {
    return BadField("memory_swap_limit_in_bytes", swap, " needs a memory limit");
  }
  if (swap > 0 && swap < memory) {
    return BadField("memory_swap_limit_in_bytes", swap,
                    absl::StrCat(" is below the memory limit ", memory, ", which it includes"));
  }
  return absl::OkStatus();
}

// "0-3,8", as cpuset(7) writes lists.
bool IsNumberList(absl::string_view list) {
  for (absl::string_view part : absl::StrSplit(list, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, '-');
    int numbers[2] = {0, 0};
    if (ends.size() > 2) return false;
    for (size_t i = 0; i < ends.size(); ++i) {
      const bool digits =
          !ends[i].empty() && ends[i].find_first_not_of("0123456789") == absl::string_view::npos;
      if (!digits || !absl::SimpleAtoi(ends[i], &numbers[i]) || numbers[i] > kMaxListNumber) {
        return false;
      }
    }
    if (ends.size() == 2 && numbers[0] > numbers[1]) return false;
  }
  return true;
}

// "2MB", "1GB": a number and a unit of base 1024.
bool IsPageSize(absl::string_view size) {
  if (!absl::ConsumeSuffix(&size, "KB") && !absl::ConsumeSuffix(&size, "MB") &&
      !absl::ConsumeSuffix(&size, "GB")) {
    return false;
  }
  return !size.empty() && size.size() < 10 &&
         size.find_first_not_of("0123456789") == absl::string_view::npos;
}

absl::Status CheckCpusets(const cri::LinuxContainerResources& r) {
  if (!r.cpuset_cpus().empty() && !IsNumberList(r.cpuset_cpus())) {
    return BadField("cpuset_cpus", absl::StrCat("\"", r.cpuset_cpus(), "\""),
                    " is not a list of numbers");
  }
  if (!r.cpuset_mems().empty() && !IsNumberList(r.cpuset_mems())) {
    return BadField("cpuset_mems", absl::StrCat("\"", r.cpuset_mems(), "\""),
                    " is not a list of numbers");
  }
  return absl::OkStatus();
}

absl::Status CheckUnified(absl::string_view file, absl::string_view value,
                          os::CgroupLayout layout) {
  const std::string quoted = absl::StrCat("\"", file, "\"");
  if (layout != os::CgroupLayout::kV2) {
    return BadField("unified", quoted, " needs a host with cgroup v2 alone");
  }
  if (!IsCleanRelativePath(file) || absl::StrContains(file, '/') || !absl::StrContains(file, '.')) {
    return BadField("unified", quoted, " is not a cgroup file");
  }
  // cgroup.procs, cgroup.kill and their like are no limits.
  if (absl::StartsWith(file, "cgroup.")) return BadField("unified", quoted, " is not a limit");
  if (value.empty() || value.find('\0') != absl::string_view::npos) {
    return BadField("unified", quoted, " has no value that can be written");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<os::CgroupLimits> ToCgroupLimits(const cri::LinuxContainerResources& r,
                                                os::CgroupLayout layout) {
  RETURN_IF_ERROR(CheckCpu(r));
  RETURN_IF_ERROR(CheckMemory(r));
  RETURN_IF_ERROR(CheckCpusets(r));
  os::CgroupLimits limits;
  // 2..262144 is what the kernel takes; kubelet sends 2 for "least".
  if (r.cpu_shares() > 0) limits.cpu_shares = std::clamp<int64_t>(r.cpu_shares(), 2, 262144);
  if (r.cpu_quota() != 0) limits.cpu_quota_us = r.cpu_quota();
  if (r.cpu_period() > 0) limits.cpu_period_us = r.cpu_period();
  limits.cpuset_cpus = r.cpuset_cpus();
  limits.cpuset_mems = r.cpuset_mems();
  if (r.memory_limit_in_bytes() != 0) {
    limits.memory_bytes = r.memory_limit_in_bytes();
    limits.memory_swap_bytes = r.memory_limit_in_bytes();
  }
  if (r.memory_swap_limit_in_bytes() != 0) {
    limits.memory_swap_bytes = r.memory_swap_limit_in_bytes();
  }
  for (const cri::HugepageLimit& limit : r.hugepage_limits()) {
    if (!IsPageSize(limit.page_size())) {
      return BadField("hugepage_limits", absl::StrCat("\"", limit.page_size(), "\""),
                      " is not a page size");
    }
    limits.hugepage_bytes[limit.page_size()] = limit.limit();
  }
  for (const auto& [file, value] : r.unified()) {
    RETURN_IF_ERROR(CheckUnified(file, value, layout));
    limits.unified[file] = value;
  }
  return limits;
}

cri::LinuxContainerResources MergeResources(const cri::LinuxContainerResources& now,
                                            const cri::LinuxContainerResources& asked) {
  // proto3: zero and empty are not there to merge.
  cri::LinuxContainerResources merged = now;
  merged.clear_hugepage_limits();
  cri::LinuxContainerResources rest = asked;
  rest.clear_hugepage_limits();
  rest.clear_unified();
  merged.MergeFrom(rest);
  for (const auto& [file, value] : asked.unified()) (*merged.mutable_unified())[file] = value;
  std::map<std::string, uint64_t> hugepages;
  for (const cri::HugepageLimit& limit : now.hugepage_limits()) {
    hugepages[limit.page_size()] = limit.limit();
  }
  for (const cri::HugepageLimit& limit : asked.hugepage_limits()) {
    hugepages[limit.page_size()] = limit.limit();
  }
  for (const auto& [size, bytes] : hugepages) {
    cri::HugepageLimit* limit = merged.add_hugepage_limits();
    limit->set_page_size(size);
    limit->set_limit(bytes);
  }
  return merged;
}

os::CgroupLimits OnlyAsked(os::CgroupLimits merged, const cri::LinuxContainerResources& asked) {
  if (asked.cpu_shares() == 0) merged.cpu_shares.reset();
  if (asked.cpu_period() == 0) merged.cpu_period_us.reset();
  if (asked.cpu_quota() == 0) merged.cpu_quota_us.reset();
  if (asked.cpuset_cpus().empty()) merged.cpuset_cpus.clear();
  if (asked.cpuset_mems().empty()) merged.cpuset_mems.clear();
  if (asked.memory_limit_in_bytes() == 0 && asked.memory_swap_limit_in_bytes() == 0) {
    merged.memory_bytes.reset();
    merged.memory_swap_bytes.reset();
  }
  std::map<std::string, uint64_t> hugepages;
  for (const cri::HugepageLimit& limit : asked.hugepage_limits()) {
    hugepages[limit.page_size()] = limit.limit();
  }
  merged.hugepage_bytes = std::move(hugepages);
  merged.unified = {asked.unified().begin(), asked.unified().end()};
  return merged;
}

absl::StatusOr<int> ToOomScoreAdj(const cri::LinuxContainerResources& r, int lowest) {
  const int64_t wanted = r.oom_score_adj();
  if (wanted < -1000 || wanted > 1000) {
    return Invalid("linux.resources.oom_score_adj", absl::StrCat(wanted, " is not in -1000..1000"));
  }
  if (wanted >= lowest) return static_cast<int>(wanted);
  LogInfo("oom_score_adj raised to what this host allows", {{"wanted", wanted}, {"given", lowest}});
  return lowest;
}

absl::StatusOr<shim::oci::Rlimit> OwnRlimit(const std::string& type) {
  const std::optional<int> number = os::RlimitNumber(type);
  rlimit limit{};
  if (!number.has_value() || getrlimit(static_cast<__rlimit_resource>(*number), &limit) != 0) {
    return Invalid("rlimits", absl::StrCat("\"", type, "\" is not a resource limit"));
  }
  return shim::oci::Rlimit{type, limit.rlim_max, limit.rlim_cur};
}

absl::Status CheckRlimits(
    const std::vector<shim::oci::Rlimit>& limits,
    const std::function<absl::StatusOr<shim::oci::Rlimit>(const std::string&)>& own) {
  for (const shim::oci::Rlimit& limit : limits) {
    ASSIGN_OR_RETURN(const shim::oci::Rlimit ours, own(limit.type));
    if (limit.soft > limit.hard) {
      return Invalid("rlimits", absl::StrCat(limit.type, ": soft limit ", limit.soft,
                                             " is above hard limit ", limit.hard));
    }
    if (limit.hard > ours.hard) {
      return Invalid("rlimits", absl::StrCat(limit.type, ": hard limit ", limit.hard,
                                             " is above the daemon's own ", ours.hard));
    }
  }
  return absl::OkStatus();
}

}  // namespace berth::sandbox
