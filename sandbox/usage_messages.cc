#include "sandbox/usage_messages.h"

#include <algorithm>

namespace berth::sandbox {
namespace {

void Fill(const os::Pressure& pressure, cri::PsiData* data) {
  data->set_total(pressure.total_us);
  data->set_avg10(pressure.avg10);
  data->set_avg60(pressure.avg60);
  data->set_avg300(pressure.avg300);
}

template <typename Usage>
void FillPressure(const std::optional<os::PressurePair>& pair, Usage* usage) {
  if (!pair.has_value()) return;
  Fill(pair->full, usage->mutable_psi()->mutable_full());
  Fill(pair->some, usage->mutable_psi()->mutable_some());
}

void Fill(const os::InterfaceCounters& counters, cri::NetworkInterfaceUsage* usage) {
  usage->set_name(counters.name);
  usage->mutable_rx_bytes()->set_value(counters.rx_bytes);
  usage->mutable_rx_errors()->set_value(counters.rx_errors);
  usage->mutable_tx_bytes()->set_value(counters.tx_bytes);
  usage->mutable_tx_errors()->set_value(counters.tx_errors);
}

uint64_t Less(uint64_t whole, uint64_t part) { return whole - std::min(whole, part); }

}  // namespace

cri::CpuUsage ToCpuUsage(const os::CgroupStats& stats, UsageCell& cell, int64_t wall,
                         int64_t monotonic) {
  cri::CpuUsage usage;
  usage.set_timestamp(wall);
  if (stats.cpu_usage_ns.has_value()) {
    usage.mutable_usage_core_nano_seconds()->set_value(*stats.cpu_usage_ns);
    if (const auto rate = cell.NanoCores(*stats.cpu_usage_ns, monotonic)) {
      usage.mutable_usage_nano_cores()->set_value(*rate);
    }
  }
  FillPressure(stats.cpu_pressure, &usage);
  return usage;
}

cri::MemoryUsage ToMemoryUsage(const os::CgroupStats& stats, int64_t wall) {
  cri::MemoryUsage usage;
  usage.set_timestamp(wall);
  if (stats.memory.has_value()) {
    const os::CgroupStats::Memory& memory = *stats.memory;
    usage.mutable_working_set_bytes()->set_value(memory.working_set);
    if (memory.limit.has_value()) {
      usage.mutable_available_bytes()->set_value(Less(*memory.limit, memory.working_set));
    }
    usage.mutable_usage_bytes()->set_value(memory.usage);
    usage.mutable_rss_bytes()->set_value(memory.rss);
    usage.mutable_page_faults()->set_value(memory.faults);
    usage.mutable_major_page_faults()->set_value(memory.major_faults);
  }
  FillPressure(stats.memory_pressure, &usage);
  return usage;
}

cri::SwapUsage ToSwapUsage(const os::CgroupStats& stats, int64_t wall) {
  cri::SwapUsage usage;
  usage.set_timestamp(wall);
  if (!stats.memory.has_value() || !stats.memory->swap_usage.has_value()) return usage;
  usage.mutable_swap_usage_bytes()->set_value(*stats.memory->swap_usage);
  if (stats.memory->swap_limit.has_value()) {
    usage.mutable_swap_available_bytes()->set_value(
        Less(*stats.memory->swap_limit, *stats.memory->swap_usage));
  }
  return usage;
}

cri::IoUsage ToIoUsage(const os::CgroupStats& stats, int64_t wall) {
  cri::IoUsage usage;
  usage.set_timestamp(wall);
  FillPressure(stats.io_pressure, &usage);
  return usage;
}

cri::ProcessUsage ToProcessUsage(const os::CgroupStats& stats, int64_t wall) {
  cri::ProcessUsage usage;
  usage.set_timestamp(wall);
  if (stats.pids.has_value()) usage.mutable_process_count()->set_value(*stats.pids);
  return usage;
}

cri::NetworkUsage ToNetworkUsage(const std::vector<os::InterfaceCounters>& interfaces,
                                 int64_t wall) {
  cri::NetworkUsage usage;
  usage.set_timestamp(wall);
  auto main = std::find_if(interfaces.begin(), interfaces.end(),
                           [](const os::InterfaceCounters& i) { return i.name == "eth0"; });
  if (main == interfaces.end()) main = interfaces.begin();
  for (auto it = interfaces.begin(); it != interfaces.end(); ++it) {
    Fill(*it, it == main ? usage.mutable_default_interface() : usage.add_interfaces());
  }
  return usage;
}

}  // namespace berth::sandbox
