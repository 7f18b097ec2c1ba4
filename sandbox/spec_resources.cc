#include "sandbox/spec_resources.h"

#include <sys/resource.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/os/process.h"
#include "base/status_macros.h"
#include "sandbox/text_rules.h"
#include "sandbox/unimplemented.h"

namespace berth::sandbox {
namespace {

absl::Status CheckNotBelow(absl::string_view field, int64_t value, int64_t lowest) {
  if (value >= lowest) return absl::OkStatus();
  return Invalid(absl::StrCat("linux.resources.", field),
                 absl::StrCat(value, " is below ", lowest));
}

absl::Status CheckRanges(const cri::LinuxContainerResources& r) {
  RETURN_IF_ERROR(CheckNotBelow("cpu_period", r.cpu_period(), 0));
  RETURN_IF_ERROR(CheckNotBelow("cpu_quota", r.cpu_quota(), -1));
  RETURN_IF_ERROR(CheckNotBelow("cpu_shares", r.cpu_shares(), 0));
  RETURN_IF_ERROR(CheckNotBelow("memory_limit_in_bytes", r.memory_limit_in_bytes(), -1));
  RETURN_IF_ERROR(CheckNotBelow("memory_swap_limit_in_bytes", r.memory_swap_limit_in_bytes(), -1));
  if (r.memory_swap_limit_in_bytes() > 0 &&
      r.memory_swap_limit_in_bytes() < r.memory_limit_in_bytes()) {
    return Invalid("linux.resources.memory_swap_limit_in_bytes",
                   absl::StrCat(r.memory_swap_limit_in_bytes(), " is below the memory limit ",
                                r.memory_limit_in_bytes(), ", which it includes"));
  }
  for (const std::string* set : {&r.cpuset_cpus(), &r.cpuset_mems()}) {
    if (set->find_first_not_of("0123456789,-") != std::string::npos) {
      return Invalid("linux.resources.cpuset",
                     absl::StrCat("\"", *set, "\" is not a list of numbers"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<os::CgroupLimits> ToCgroupLimits(const cri::LinuxContainerResources& r) {
  RETURN_IF_ERROR(CheckRanges(r));
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
    if (!IsCleanRelativePath(limit.page_size()) || absl::StrContains(limit.page_size(), '/')) {
      return Invalid("linux.resources.hugepage_limits",
                     absl::StrCat("\"", limit.page_size(), "\" is not a page size"));
    }
    limits.hugepage_bytes[limit.page_size()] = limit.limit();
  }
  for (const auto& [file, value] : r.unified()) {
    if (!IsCleanRelativePath(file) || absl::StrContains(file, '/') ||
        !absl::StrContains(file, '.')) {
      return Invalid("linux.resources.unified",
                     absl::StrCat("\"", file, "\" is not a cgroup file"));
    }
    limits.unified[file] = value;
  }
  return limits;
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
