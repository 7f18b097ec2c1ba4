#include <nlohmann/json.hpp>
#include <utility>

#include "shim/oci/spec_parts.h"

namespace berth::shim::oci {
namespace {

using Json = nlohmann::json;

template <typename T>
void Put(Json* object, const char* section, const char* key, const std::optional<T>& value) {
  if (value.has_value()) (*object)[section][key] = *value;
}

void PutCpu(const os::CgroupLimits& limits, Json* out) {
  Put(out, "cpu", "shares", limits.cpu_shares);
  Put(out, "cpu", "quota", limits.cpu_quota_us);
  Put(out, "cpu", "period", limits.cpu_period_us);
  Put(out, "cpu", "burst", limits.cpu_burst_us);
  Put(out, "cpu", "idle", limits.cpu_idle);
  Put(out, "cpu", "realtimeRuntime", limits.cpu_rt_runtime_us);
  Put(out, "cpu", "realtimePeriod", limits.cpu_rt_period_us);
  if (!limits.cpuset_cpus.empty()) (*out)["cpu"]["cpus"] = limits.cpuset_cpus;
  if (!limits.cpuset_mems.empty()) (*out)["cpu"]["mems"] = limits.cpuset_mems;
}

void PutMemory(const os::CgroupLimits& limits, Json* out) {
  Put(out, "memory", "limit", limits.memory_bytes);
  Put(out, "memory", "swap", limits.memory_swap_bytes);
  Put(out, "memory", "reservation", limits.memory_reservation_bytes);
  Put(out, "memory", "kernelTCP", limits.memory_kernel_tcp_bytes);
  Put(out, "memory", "swappiness", limits.memory_swappiness);
  Put(out, "memory", "disableOOMKiller", limits.memory_oom_kill_disable);
  Put(out, "memory", "useHierarchy", limits.memory_use_hierarchy);
}

Json BlockIoToJson(const os::BlockIoLimits& io) {
  Json out = Json::object();
  if (io.weight != 0) out["weight"] = io.weight;
  if (io.leaf_weight != 0) out["leafWeight"] = io.leaf_weight;
  for (const os::BlockIoLimits::Weight& w : io.device_weights) {
    Json item = {{"major", w.major}, {"minor", w.minor}};
    if (w.weight != 0) item["weight"] = w.weight;
    if (w.leaf_weight != 0) item["leafWeight"] = w.leaf_weight;
    out["weightDevice"].push_back(std::move(item));
  }
  for (const auto& [key, list] : {std::pair("throttleReadBpsDevice", &io.read_bps),
                                  std::pair("throttleWriteBpsDevice", &io.write_bps),
                                  std::pair("throttleReadIOPSDevice", &io.read_iops),
                                  std::pair("throttleWriteIOPSDevice", &io.write_iops)}) {
    for (const os::BlockIoLimits::Rate& r : *list) {
      out[key].push_back({{"major", r.major}, {"minor", r.minor}, {"rate", r.rate}});
    }
  }
  return out;
}

void PutNetworks(const os::CgroupLimits& limits, Json* out) {
  for (const auto& [device, rdma] : limits.rdma) {
    Json& item = (*out)["rdma"][device];
    if (rdma.hca_handles.has_value()) item["hcaHandles"] = *rdma.hca_handles;
    if (rdma.hca_objects.has_value()) item["hcaObjects"] = *rdma.hca_objects;
  }
  Put(out, "network", "classID", limits.net_class_id);
  for (const auto& [name, priority] : limits.net_priorities) {
    (*out)["network"]["priorities"].push_back({{"name", name}, {"priority", priority}});
  }
}

}  // namespace

Json ResourcesToJson(const os::CgroupLimits& limits) {
  Json out = Json::object();
  PutCpu(limits, &out);
  PutMemory(limits, &out);
  Put(&out, "pids", "limit", limits.pids_max);
  if (Json io = BlockIoToJson(limits.block_io); !io.empty()) out["blockIO"] = std::move(io);
  for (const auto& [size, limit] : limits.hugepage_bytes) {
    out["hugepageLimits"].push_back({{"pageSize", size}, {"limit", limit}});
  }
  PutNetworks(limits, &out);
  if (!limits.unified.empty()) out["unified"] = limits.unified;
  for (const os::CgroupLimits::DeviceRule& rule : limits.devices) {
    Json item = {
        {"allow", rule.allow}, {"type", std::string(1, rule.type)}, {"access", rule.access}};
    if (rule.major.has_value()) item["major"] = *rule.major;
    if (rule.minor.has_value()) item["minor"] = *rule.minor;
    out["devices"].push_back(std::move(item));
  }
  return out;
}

}  // namespace berth::shim::oci
