#include "base/os/systemd_unit.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/os/cgroup_internal.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

constexpr uint64_t kInfinity = std::numeric_limits<uint64_t>::max();
constexpr char kDefaultSlice[] = "system.slice";
constexpr size_t kLongestName = 255;

// systemd.unit(5).
bool IsUnitName(absl::string_view name) {
  if (name.empty() || name.size() > kLongestName) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains(":-_.\\@", c);
  });
}

uint64_t OrInfinity(int64_t value) { return value < 0 ? kInfinity : static_cast<uint64_t>(value); }

using Properties = std::vector<UnitProperty>;

void AddCpu(const CgroupLimits& limits, bool v2, Properties* out) {
  if (limits.cpu_shares.value_or(0) != 0 && limits.cpu_idle.value_or(0) == 0) {
    if (v2) {
      out->push_back({"CPUWeight", cgroup_internal::CpuWeight(*limits.cpu_shares)});
    } else {
      out->push_back({"CPUShares", *limits.cpu_shares});
    }
  }
  if (v2 && limits.cpu_idle == 1) out->push_back({"CPUWeight", uint64_t{0}});  // "idle"
  const uint64_t period = limits.cpu_period_us.value_or(100000);
  if (limits.cpu_quota_us.has_value()) {
    uint64_t per_second = kInfinity;
    if (*limits.cpu_quota_us > 0) {
      // systemd keeps whole percents, and may keep no less than what is written below it.
      constexpr uint64_t kPercent = 10000;
      const double exact =
          static_cast<double>(*limits.cpu_quota_us) * 1e6 / static_cast<double>(period);
      per_second = (static_cast<uint64_t>(exact) + kPercent - 1) / kPercent * kPercent;
    }
    out->push_back({"CPUQuotaPerSecUSec", per_second});
  }
  if (limits.cpu_period_us.has_value()) out->push_back({"CPUQuotaPeriodUSec", period});
  if (!v2) return;  // systemd leaves v1's cpuset alone
  if (!limits.cpuset_cpus.empty()) out->push_back({"AllowedCPUs", CpuMask(limits.cpuset_cpus)});
  if (!limits.cpuset_mems.empty()) {
    out->push_back({"AllowedMemoryNodes", CpuMask(limits.cpuset_mems)});
  }
}

void AddMemory(const CgroupLimits& limits, bool v2, Properties* out) {
  if (!v2) {
    if (limits.memory_bytes.has_value()) {
      out->push_back({"MemoryLimit", OrInfinity(*limits.memory_bytes)});
    }
    return;
  }
  if (limits.memory_bytes.has_value()) {
    out->push_back({"MemoryMax", OrInfinity(*limits.memory_bytes)});
  }
  if (limits.memory_reservation_bytes.has_value()) {
    out->push_back({"MemoryLow", OrInfinity(*limits.memory_reservation_bytes)});
  }
  const int64_t memory = limits.memory_bytes.value_or(-1);
  if (limits.memory_swap_bytes.value_or(-1) >= memory && memory >= 0) {
    out->push_back({"MemorySwapMax", static_cast<uint64_t>(*limits.memory_swap_bytes - memory)});
  } else if (limits.memory_swap_bytes.has_value() || limits.memory_bytes.value_or(0) < 0) {
    out->push_back({"MemorySwapMax", kInfinity});
  }
}

void AddRates(const char* name, const std::vector<BlockIoLimits::Rate>& rates, Properties* out) {
  UnitProperty::Rates pairs;
  for (const BlockIoLimits::Rate& r : rates) {
    pairs.emplace_back(absl::StrCat("/dev/block/", r.major, ":", r.minor),
                       r.rate == 0 ? kInfinity : r.rate);
  }
  if (!pairs.empty()) out->push_back({name, std::move(pairs)});
}

void AddIo(const BlockIoLimits& io, bool v2, Properties* out) {
  if (!v2) {
    if (io.weight != 0) out->push_back({"BlockIOWeight", uint64_t{io.weight}});
    return;
  }
  AddRates("IOReadBandwidthMax", io.read_bps, out);
  AddRates("IOWriteBandwidthMax", io.write_bps, out);
  AddRates("IOReadIOPSMax", io.read_iops, out);
  AddRates("IOWriteIOPSMax", io.write_iops, out);
}

// On v1 systemd writes the list anew at every daemon-reload. (On v2 it attaches a program only
// where it was told of devices, and never touches ours.)
void AddDevices(const std::vector<CgroupLimits::DeviceRule>& rules, Properties* out) {
  UnitProperty::Pairs allowed;
  bool strict = false;
  for (const CgroupLimits::DeviceRule& rule : rules) {
    if (cgroup_internal::IsForAll(rule)) {
      strict = !rule.allow;
      allowed.clear();
      continue;
    }
    if (!rule.allow) continue;  // there are no denials; the group's own list has them
    const auto number = [](const std::optional<int64_t>& n) {
      return n.value_or(-1) < 0 ? std::string("*") : absl::StrCat(*n);
    };
    for (const auto& [type, name] : {std::pair('c', "char"), std::pair('b', "block")}) {
      if (rule.type != type && rule.type != 'a') continue;
      const std::string major = number(rule.major);
      const std::string minor = number(rule.minor);
      allowed.emplace_back(minor == "*" ? absl::StrCat(name, "-", major)
                                        : absl::StrCat("/dev/", name, "/", major, ":", minor),
                           rule.access);
    }
  }
  if (rules.empty()) return;
  out->push_back({"DevicePolicy", std::string(strict ? "strict" : "auto")});
  out->push_back({"DeviceAllow", strict ? std::move(allowed) : UnitProperty::Pairs()});
}

// Those of "unified" that systemd writes, too, when it is not told.
void AddUnified(const CgroupLimits& limits, Properties* out) {
  const std::pair<const char*, const char*> known[] = {
      {"memory.min", "MemoryMin"},   {"memory.low", "MemoryLow"},
      {"memory.high", "MemoryHigh"}, {"memory.max", "MemoryMax"},
      {"pids.max", "TasksMax"},      {"memory.swap.max", "MemorySwapMax"},
      {"cpu.weight", "CPUWeight"}};
  for (const auto& [file, property] : known) {
    const auto found = limits.unified.find(file);
    if (found == limits.unified.end()) continue;
    const absl::string_view text = absl::StripAsciiWhitespace(found->second);
    uint64_t value = kInfinity;
    if (text != "max" && !absl::SimpleAtoi(text, &value)) continue;  // the kernel's to refuse
    out->push_back({property, value});
  }
  for (const auto& [file, property] :
       {std::pair("cpuset.cpus", "AllowedCPUs"), std::pair("cpuset.mems", "AllowedMemoryNodes")}) {
    const auto found = limits.unified.find(file);
    if (found != limits.unified.end()) out->push_back({property, CpuMask(found->second)});
  }
}

}  // namespace

bool IsScopeForm(absl::string_view cgroups_path) {
  return !absl::StrContains(cgroups_path, "/") &&
         std::count(cgroups_path.begin(), cgroups_path.end(), ':') == 2;
}

absl::StatusOr<ScopeName> ParseScopeName(absl::string_view cgroups_path) {
  if (!IsScopeForm(cgroups_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", cgroups_path, "\" is not slice:prefix:name, as systemd needs it"));
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(cgroups_path, ':');
  ScopeName scope;
  scope.slice = parts[0].empty() ? kDefaultSlice : std::string(parts[0]);
  scope.unit = absl::StrCat(parts[1], parts[1].empty() ? "" : "-", parts[2], ".scope");
  if (parts[2].empty() || !IsUnitName(scope.unit)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", scope.unit, "\" is no name of a unit"));
  }
  ASSIGN_OR_RETURN(const std::string parent, SliceCgroup(scope.slice));
  scope.cgroup = absl::StrCat(parent, "/", scope.unit);
  return scope;
}

absl::StatusOr<std::string> SliceCgroup(absl::string_view slice) {
  if (slice == "-.slice") return std::string();
  absl::string_view name = slice;
  if (!absl::ConsumeSuffix(&name, ".slice") || !IsUnitName(slice)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", slice, "\" is no name of a slice"));
  }
  std::string path;
  std::string prefix;
  for (absl::string_view part : absl::StrSplit(name, '-')) {
    if (part.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", slice, "\": a part between dashes is empty"));
    }
    absl::StrAppend(&prefix, prefix.empty() ? "" : "-", part);
    absl::StrAppend(&path, "/", prefix, ".slice");
  }
  return path;
}

bool IsSliceForm(absl::string_view parent) {
  while (absl::ConsumeSuffix(&parent, "/")) {
  }
  return absl::EndsWith(parent, ".slice");
}

absl::StatusOr<std::string> SliceOf(absl::string_view parent) {
  while (absl::ConsumeSuffix(&parent, "/")) {
  }
  const size_t slash = parent.rfind('/');
  const std::string slice(slash == absl::string_view::npos ? parent : parent.substr(slash + 1));
  ASSIGN_OR_RETURN(const std::string path, SliceCgroup(slice));
  if (slash != absl::string_view::npos && parent != path) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", parent, "\": systemd has ", slice, " at ", path.empty() ? "/" : path));
  }
  return slice;
}

std::vector<UnitProperty> LimitProperties(const CgroupLimits& limits, CgroupLayout layout) {
  const bool v2 = layout == CgroupLayout::kV2;
  Properties out;
  AddCpu(limits, v2, &out);
  AddMemory(limits, v2, &out);
  if (limits.pids_max.has_value()) out.push_back({"TasksMax", OrInfinity(*limits.pids_max)});
  AddIo(limits.block_io, v2, &out);
  if (v2) {
    AddUnified(limits, &out);
  } else {
    AddDevices(limits.devices, &out);
  }
  return out;
}

std::vector<UnitProperty> ScopeProperties(const ScopeName& name, const CgroupLimits& limits,
                                          CgroupLayout layout) {
  Properties out = {{"Description", absl::StrCat("container ", name.unit)},
                    {"Slice", name.slice},
                    {"Delegate", true},
                    // Else a scope waits for, and ends with, what every service does.
                    {"DefaultDependencies", false},
                    // A scope that failed would stay listed, and its name taken.
                    {"CollectMode", std::string("inactive-or-failed")},
                    {"MemoryAccounting", true},
                    {"CPUAccounting", true},
                    {"TasksAccounting", true},
                    {layout == CgroupLayout::kV2 ? "IOAccounting" : "BlockIOAccounting", true}};
  // Without a word systemd limits tasks on its own (DefaultTasksMax).
  if (!limits.pids_max.has_value() && limits.unified.count("pids.max") == 0) {
    out.push_back({"TasksMax", kInfinity});
  }
  for (UnitProperty& property : LimitProperties(limits, layout)) {
    out.push_back(std::move(property));
  }
  return out;
}

std::vector<uint8_t> CpuMask(absl::string_view list) {
  constexpr uint32_t kMost = 8192;  // CONFIG_NR_CPUS at its largest
  std::vector<uint8_t> mask;
  for (absl::string_view part : absl::StrSplit(list, ',')) {
    const std::pair<absl::string_view, absl::string_view> ends =
        absl::StrSplit(part, absl::MaxSplits('-', 1));
    uint32_t first = 0;
    uint32_t last = 0;
    if (!absl::SimpleAtoi(ends.first, &first)) return {};
    last = first;
    if (absl::StrContains(part, "-") && !absl::SimpleAtoi(ends.second, &last)) return {};
    if (last < first || last >= kMost) return {};
    if (mask.size() <= last / 8) mask.resize(last / 8 + 1);
    for (uint32_t cpu = first; cpu <= last; ++cpu) {
      mask[cpu / 8] = static_cast<uint8_t>(mask[cpu / 8] | (1U << (cpu % 8)));
    }
  }
  return mask;
}

}  // namespace berth::os
