#include "absl/strings/str_cat.h"
#include "base/os/cgroup_internal.h"
#include "base/status_macros.h"

namespace berth::os::cgroup_internal {
namespace {

using Line = Setting::Line;

std::string OrMax(int64_t value) { return value < 0 ? "max" : absl::StrCat(value); }

void AddCpu(const std::string& dir, const CgroupLimits& limits, SettingList* out) {
  // Shares of a group that is idle are refused.
  if (limits.cpu_idle == 0) out->Add({dir, "cpu.idle", "0", "cpu.idle"});
  if (limits.cpu_shares.has_value() && limits.cpu_idle != 1) {
    out->Add({dir, "cpu.shares", absl::StrCat(*limits.cpu_shares), "cpu.shares"});
  }
  if (limits.cpu_idle == 1) out->Add({dir, "cpu.idle", "1", "cpu.idle"});
  out->AddNumber(dir, "cpu.cfs_period_us", limits.cpu_period_us, "cpu.period");
  out->AddNumber(dir, "cpu.cfs_quota_us", limits.cpu_quota_us, "cpu.quota");
  out->AddNumber(dir, "cpu.cfs_burst_us", limits.cpu_burst_us, "cpu.burst");
  out->AddNumber(dir, "cpu.rt_period_us", limits.cpu_rt_period_us, "cpu.realtimePeriod");
  out->AddNumber(dir, "cpu.rt_runtime_us", limits.cpu_rt_runtime_us, "cpu.realtimeRuntime");
}

void AddMemory(const std::string& dir, const CgroupLimits& limits, SettingList* out) {
  out->AddNumber(dir, "memory.limit_in_bytes", limits.memory_bytes, "memory.limit");
  std::optional<int64_t> swap = limits.memory_swap_bytes;
  // Memory without a limit under an old limit of memory + swap is no limit of nothing.
  if (!swap.has_value() && limits.memory_bytes.value_or(0) < 0) swap = -1;
  // A kernel without swap accounting has no swap to limit.
  if (Exists(dir, "memory.memsw.limit_in_bytes")) {
    out->AddNumber(dir, "memory.memsw.limit_in_bytes", swap, "memory.swap");
  }
  out->AddNumber(dir, "memory.soft_limit_in_bytes", limits.memory_reservation_bytes,
                 "memory.reservation");
  out->AddNumber(dir, "memory.kmem.tcp.limit_in_bytes", limits.memory_kernel_tcp_bytes,
                 "memory.kernelTCP");
  out->AddNumber(dir, "memory.swappiness", limits.memory_swappiness, "memory.swappiness");
  if (limits.memory_oom_kill_disable.has_value()) {
    out->Add({dir, "memory.oom_control", *limits.memory_oom_kill_disable ? "1" : "0",
              "memory.disableOOMKiller", Line::kValueOf, "oom_kill_disable"});
  }
}

void AddRates(const std::string& dir, const char* file,
              const std::vector<BlockIoLimits::Rate>& rates, const char* where, SettingList* out) {
  for (const BlockIoLimits::Rate& r : rates) {
    const std::string device = absl::StrCat(r.major, ":", r.minor);
    out->Add({dir, file, absl::StrCat(device, " ", r.rate), where, Line::kOf, device,
              absl::StrCat(device, " 0")});
  }
}

// Weights are BFQ's since 5.0; leaf weights went with CFQ.
absl::Status AddBlockIo(const std::string& dir, const BlockIoLimits& io, SettingList* out) {
  bool leaf = io.leaf_weight != 0;
  bool weight = io.weight != 0 || !io.device_weights.empty();
  for (const BlockIoLimits::Weight& w : io.device_weights) leaf |= w.leaf_weight != 0;
  if (leaf) return Lost("blockIO.leafWeight", "this kernel has none");
  if (weight && !Exists(dir, "blkio.bfq.weight")) {
    return Lost("blockIO.weight", "this kernel has no BFQ, whose weights they are");
  }
  if (io.weight != 0) {
    out->Add({dir, "blkio.bfq.weight", absl::StrCat(io.weight), "blockIO.weight"});
  }
  for (const BlockIoLimits::Weight& w : io.device_weights) {
    const std::string device = absl::StrCat(w.major, ":", w.minor);
    out->Add({dir, "blkio.bfq.weight_device", absl::StrCat(device, " ", w.weight),
              "blockIO.weightDevice", Line::kOf, device, absl::StrCat(device, " default")});
  }
  AddRates(dir, "blkio.throttle.read_bps_device", io.read_bps, "blockIO.throttleReadBpsDevice",
           out);
  AddRates(dir, "blkio.throttle.write_bps_device", io.write_bps, "blockIO.throttleWriteBpsDevice",
           out);
  AddRates(dir, "blkio.throttle.read_iops_device", io.read_iops, "blockIO.throttleReadIOPSDevice",
           out);
  AddRates(dir, "blkio.throttle.write_iops_device", io.write_iops,
           "blockIO.throttleWriteIOPSDevice", out);
  return absl::OkStatus();
}

void AddHugepages(const std::string& dir, const CgroupLimits& limits, SettingList* out) {
  if (dir.empty()) return;
  for (const auto& [size, bytes] : limits.hugepage_bytes) {
    out->Add({dir, absl::StrCat("hugetlb.", size, ".limit_in_bytes"), absl::StrCat(bytes),
              "hugepageLimits"});
    // Reservations of mmap count apart; since Linux 5.7.
    const std::string reserved = absl::StrCat("hugetlb.", size, ".rsvd.limit_in_bytes");
    if (Exists(dir, reserved)) out->Add({dir, reserved, absl::StrCat(bytes), "hugepageLimits"});
  }
}

}  // namespace

absl::StatusOr<std::vector<Setting>> SettingsV1(const DirOf& dir_of, const CgroupLimits& limits) {
  SettingList out;
  AddCpu(dir_of("cpu"), limits, &out);
  out.AddText(dir_of("cpuset"), "cpuset.cpus", limits.cpuset_cpus, "cpu.cpus");
  out.AddText(dir_of("cpuset"), "cpuset.mems", limits.cpuset_mems, "cpu.mems");
  AddMemory(dir_of("memory"), limits, &out);
  if (limits.pids_max.has_value()) {
    out.Add({dir_of("pids"), "pids.max", OrMax(*limits.pids_max), "pids.limit"});
  }
  RETURN_IF_ERROR(AddBlockIo(dir_of("blkio"), limits.block_io, &out));
  AddHugepages(dir_of("hugetlb"), limits, &out);
  AddRdma(dir_of("rdma"), limits, &out);
  out.AddNumber(dir_of("net_cls"), "net_cls.classid", limits.net_class_id, "network.classID");
  for (const auto& [name, priority] : limits.net_priorities) {
    out.Add({dir_of("net_prio"), "net_prio.ifpriomap", absl::StrCat(name, " ", priority),
             "network.priorities", Line::kOf, name, absl::StrCat(name, " 0")});
  }
  if (!limits.unified.empty()) {
    return Lost(absl::StrCat("unified[\"", limits.unified.begin()->first, "\"]"),
                "this host has v1 hierarchies, and cgroup v2 alone has these files");
  }
  return std::move(out).Take();
}

}  // namespace berth::os::cgroup_internal
