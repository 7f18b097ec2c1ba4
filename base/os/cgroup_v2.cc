#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/os/cgroup_internal.h"
#include "base/status_macros.h"

namespace berth::os::cgroup_internal {
namespace {

using Line = Setting::Line;

std::string OrMax(int64_t value) { return value < 0 ? "max" : absl::StrCat(value); }

absl::Status AddCpu(const std::string& dir, const CgroupLimits& limits, SettingList* out) {
  // The weight of a group that is idle is refused.
  if (limits.cpu_idle == 0) out->Add({dir, "cpu.idle", "0", "cpu.idle"});
  if (limits.cpu_shares.value_or(0) != 0 && limits.cpu_idle != 1) {
    out->Add({dir, "cpu.weight", absl::StrCat(CpuWeight(*limits.cpu_shares)), "cpu.shares"});
  }
  if (limits.cpu_idle == 1) out->Add({dir, "cpu.idle", "1", "cpu.idle"});
  if (limits.cpu_quota_us.has_value() || limits.cpu_period_us.has_value()) {
    // "quota" alone keeps the period; a period alone needs the quota as it is.
    std::string value;
    if (limits.cpu_quota_us.has_value()) {
      value = OrMax(*limits.cpu_quota_us);
    } else if (!dir.empty()) {
      ASSIGN_OR_RETURN(const std::string now, Read(dir, "cpu.max"));
      value = now.substr(0, now.find(' '));
    }
    if (limits.cpu_period_us.has_value()) absl::StrAppend(&value, " ", *limits.cpu_period_us);
    out->Add({dir, "cpu.max", value, limits.cpu_quota_us.has_value() ? "cpu.quota" : "cpu.period"});
  }
  out->AddNumber(dir, "cpu.max.burst", limits.cpu_burst_us, "cpu.burst");
  if (limits.cpu_rt_runtime_us.value_or(0) != 0 || limits.cpu_rt_period_us.has_value()) {
    return Lost("cpu.realtimeRuntime", "cgroup v2 has no time for real-time processes");
  }
  return absl::OkStatus();
}

// What memory + swap, as v1 counts, leaves for swap alone.
absl::StatusOr<std::string> SwapAlone(const std::string& dir, const CgroupLimits& limits) {
  int64_t memory = limits.memory_bytes.value_or(-1);
  if (!limits.memory_bytes.has_value() && !dir.empty()) {
    ASSIGN_OR_RETURN(const std::string now, Read(dir, "memory.max"));
    if (!absl::SimpleAtoi(now, &memory)) memory = -1;  // "max"
  }
  if (memory < 0 || *limits.memory_swap_bytes < memory) {
    return absl::InvalidArgumentError(absl::StrCat("linux.resources.memory.swap: memory + swap of ",
                                                   *limits.memory_swap_bytes,
                                                   " needs a memory limit that is not above it"));
  }
  return absl::StrCat(*limits.memory_swap_bytes - memory);
}

absl::Status AddMemory(const std::string& dir, const CgroupLimits& limits, SettingList* out) {
  const std::pair<bool, const char*> v1_alone[] = {
      {limits.memory_kernel_tcp_bytes.value_or(-1) >= 0, "memory.kernelTCP"},
      {limits.memory_swappiness.has_value(), "memory.swappiness"},
      {limits.memory_oom_kill_disable.value_or(false), "memory.disableOOMKiller"}};
  for (const auto& [is_set, where] : v1_alone) {
    if (is_set) return Lost(where, "cgroup v2 has no such setting");
  }
  if (limits.memory_bytes.has_value()) {
    out->Add({dir, "memory.max", OrMax(*limits.memory_bytes), "memory.limit"});
  }
  std::string swap;
  if (limits.memory_swap_bytes.value_or(-1) >= 0) {
    ASSIGN_OR_RETURN(swap, SwapAlone(dir, limits));
  } else if (limits.memory_swap_bytes.has_value() || limits.memory_bytes.value_or(0) < 0) {
    swap = "max";
  }
  // A kernel without swap accounting has no swap to limit.
  if (Exists(dir, "memory.swap.max")) out->AddText(dir, "memory.swap.max", swap, "memory.swap");
  if (limits.memory_reservation_bytes.has_value()) {
    out->Add({dir, "memory.low", OrMax(*limits.memory_reservation_bytes), "memory.reservation"});
  }
  return absl::OkStatus();
}

// BFQ's weights are those of v1; the others are of io.cost, 1..10000, and 10..1000 of v1 fills
// them.
uint64_t IoWeight(uint16_t weight) {
  return weight <= 10 ? 1 : 1 + (uint64_t{weight} - 10) * 9999 / 990;
}

absl::Status AddIoWeights(const std::string& dir, const BlockIoLimits& io, SettingList* out) {
  for (const BlockIoLimits::Weight& w : io.device_weights) {
    if (w.leaf_weight != 0) return Lost("blockIO.weightDevice", "cgroup v2 has no leaf weights");
  }
  if (io.leaf_weight != 0) return Lost("blockIO.leafWeight", "cgroup v2 has none");
  if (io.weight == 0 && io.device_weights.empty()) return absl::OkStatus();
  const bool bfq = Exists(dir, "io.bfq.weight");
  const std::string file = bfq ? "io.bfq.weight" : "io.weight";
  if (!dir.empty() && !Exists(dir, file)) {
    return Lost("blockIO.weight",
                "this kernel has neither BFQ nor io.cost, whose weights they are");
  }
  const auto text = [&](uint16_t weight) { return absl::StrCat(bfq ? weight : IoWeight(weight)); };
  if (io.weight != 0) {
    out->Add({dir, file, absl::StrCat("default ", text(io.weight)), "blockIO.weight", Line::kOf,
              "default", "default 100"});
  }
  for (const BlockIoLimits::Weight& w : io.device_weights) {
    const std::string device = absl::StrCat(w.major, ":", w.minor);
    out->Add({dir, file, absl::StrCat(device, " ", text(w.weight)), "blockIO.weightDevice",
              Line::kOf, device, absl::StrCat(device, " default")});
  }
  return absl::OkStatus();
}

// One line of io.max a device.
void AddIoMax(const std::string& dir, const BlockIoLimits& io, SettingList* out) {
  const std::pair<const char*, const std::vector<BlockIoLimits::Rate>*> kinds[] = {
      {"rbps", &io.read_bps},
      {"wbps", &io.write_bps},
      {"riops", &io.read_iops},
      {"wiops", &io.write_iops}};
  std::map<std::string, std::string> lines;
  for (const auto& [kind, rates] : kinds) {
    for (const BlockIoLimits::Rate& r : *rates) {
      absl::StrAppend(&lines[absl::StrCat(r.major, ":", r.minor)], " ", kind, "=",
                      r.rate == 0 ? "max" : absl::StrCat(r.rate));
    }
  }
  for (const auto& [device, rates] : lines) {
    out->Add({dir, "io.max", absl::StrCat(device, rates), "blockIO.throttle", Line::kOf, device,
              absl::StrCat(device, " rbps=max wbps=max riops=max wiops=max")});
  }
}

void AddHugepages(const std::string& dir, const CgroupLimits& limits, SettingList* out) {
  if (dir.empty()) return;
  for (const auto& [size, bytes] : limits.hugepage_bytes) {
    out->Add({dir, absl::StrCat("hugetlb.", size, ".max"), absl::StrCat(bytes), "hugepageLimits"});
    // Reservations of mmap count apart; since Linux 5.7.
    const std::string reserved = absl::StrCat("hugetlb.", size, ".rsvd.max");
    if (Exists(dir, reserved)) out->Add({dir, reserved, absl::StrCat(bytes), "hugepageLimits"});
  }
}

// They come last and may not take back what another property says.
absl::Status AddUnified(const std::string& dir, const CgroupLimits& limits, SettingList* out) {
  for (const auto& [file, value] : limits.unified) {
    const std::string where = absl::StrCat("unified[\"", file, "\"]");
    const auto bad = [&, &name = file](absl::string_view why) {
      return absl::InvalidArgumentError(
          absl::StrCat("linux.resources.unified[\"", name, "\"]: ", why));
    };
    if (file.empty() || file.find('/') != std::string::npos || file[0] == '.') {
      return bad("is no file name");
    }
    for (const char* action : {"cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze"}) {
      if (file == action) return bad("is no setting");
    }
    if (const Setting* other = out->Find(file); other != nullptr) {
      if (absl::StripAsciiWhitespace(value) == other->value) continue;
      return bad(absl::StrCat("contradicts linux.resources.", other->where, ", which makes it ",
                              other->value));
    }
    if (!Exists(dir, file)) {
      return bad(absl::StrCat("this cgroup has no such file; its controller (",
                              file.substr(0, file.find('.')), ") may be missing or disabled"));
    }
    out->Add({dir, file, value, where});
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

absl::StatusOr<std::vector<Setting>> SettingsV2(const std::string& group, const DirOf& dir_of,
                                                const CgroupLimits& limits) {
  SettingList out;
  RETURN_IF_ERROR(AddCpu(dir_of("cpu"), limits, &out));
  out.AddText(dir_of("cpuset"), "cpuset.cpus", limits.cpuset_cpus, "cpu.cpus");
  out.AddText(dir_of("cpuset"), "cpuset.mems", limits.cpuset_mems, "cpu.mems");
  RETURN_IF_ERROR(AddMemory(dir_of("memory"), limits, &out));
  if (limits.pids_max.has_value()) {
    out.Add({dir_of("pids"), "pids.max", OrMax(*limits.pids_max), "pids.limit"});
  }
  RETURN_IF_ERROR(AddIoWeights(dir_of("io"), limits.block_io, &out));
  AddIoMax(dir_of("io"), limits.block_io, &out);
  AddHugepages(dir_of("hugetlb"), limits, &out);
  AddRdma(dir_of("rdma"), limits, &out);
  if (limits.net_class_id.has_value()) {
    return Lost("network.classID", "cgroup v2 has no net_cls controller");
  }
  if (!limits.net_priorities.empty()) {
    return Lost("network.priorities", "cgroup v2 has no net_prio controller");
  }
  RETURN_IF_ERROR(AddUnified(group, limits, &out));
  return std::move(out).Take();
}

}  // namespace berth::os::cgroup_internal
