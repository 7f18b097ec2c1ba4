// config-linux.md, "Control groups". Where runc, Docker and the kubelet write 0 for "not set", and
// 0 could be no limit that anything lives with, it reads as absent: memory.*, cpu.shares, quota and
// the periods, the weights of blockIO. 0 processes and 0 bytes of huge pages are limits.
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "shim/oci/spec_parts.h"

namespace berth::shim::oci {
namespace {

template <typename Int>
void ReadNotZero(const JsonReader& in, const char* key, std::optional<Int>* out) {
  in.ReadInt(key, out);
  if (*out == Int{0}) out->reset();
}

// -1 = unlimited.
void ReadLimit(const JsonReader& in, const char* key, std::optional<int64_t>* out) {
  ReadNotZero(in, key, out);
  if (out->value_or(0) < -1) in.Fail(key, absl::StrCat("out of range: ", **out));
}

void ReadList(const JsonReader& in, const char* key, std::string* out) {
  in.Read(key, out);
  if (!out->empty() && !IsNumberList(*out)) {
    in.Fail(key, absl::StrCat("is no list of numbers: \"", *out, "\""));
  }
}

void ReadCpu(const JsonReader& in, os::CgroupLimits* out) {
  ReadNotZero(in, "shares", &out->cpu_shares);
  ReadLimit(in, "quota", &out->cpu_quota_us);
  ReadNotZero(in, "period", &out->cpu_period_us);
  in.ReadInt("burst", &out->cpu_burst_us);
  if (out->cpu_quota_us.value_or(0) > 0 &&
      out->cpu_burst_us.value_or(0) > static_cast<uint64_t>(*out->cpu_quota_us)) {
    in.Fail("burst", "is above the quota");
  }
  in.ReadInt("realtimeRuntime", &out->cpu_rt_runtime_us);
  ReadNotZero(in, "realtimePeriod", &out->cpu_rt_period_us);
  in.ReadInt("idle", &out->cpu_idle);
  if (const int64_t idle = out->cpu_idle.value_or(0); idle != 0 && idle != 1) {
    in.Fail("idle", absl::StrCat("must be 0 or 1: ", idle));
  }
  ReadList(in, "cpus", &out->cpuset_cpus);
  ReadList(in, "mems", &out->cpuset_mems);
}

void ReadMemory(const JsonReader& in, os::CgroupLimits* out) {
  ReadLimit(in, "limit", &out->memory_bytes);
  ReadLimit(in, "swap", &out->memory_swap_bytes);
  ReadLimit(in, "reservation", &out->memory_reservation_bytes);
  ReadLimit(in, "kernelTCP", &out->memory_kernel_tcp_bytes);
  // Not recommended by the text, and gone from the kernel since 5.16: checked and left out.
  std::optional<int64_t> kernel;
  ReadLimit(in, "kernel", &kernel);
  in.ReadInt("swappiness", &out->memory_swappiness);
  if (out->memory_swappiness.value_or(0) > 100) {
    in.Fail("swappiness", absl::StrCat("out of range: ", *out->memory_swappiness));
  }
  const auto read_flag = [&](const char* key, std::optional<bool>* flag) {
    if (in.Has(key)) in.Read(key, &flag->emplace(false));
  };
  read_flag("disableOOMKiller", &out->memory_oom_kill_disable);
  read_flag("useHierarchy", &out->memory_use_hierarchy);
  // Every update is checked against the usage, whatever this says.
  bool check = false;
  in.Read("checkBeforeUpdate", &check);
  const int64_t swap = out->memory_swap_bytes.value_or(-1);
  if (swap >= 0 && out->memory_bytes.value_or(0) > swap) in.Fail("swap", "is below the limit");
  if (swap >= 0 && out->memory_bytes == -1) in.Fail("swap", "memory alone has no limit");
}

void ReadWeight(const JsonReader& in, const char* key, uint16_t* out) {
  in.ReadInt(key, out);
  if (*out > 1000) in.Fail(key, absl::StrCat("out of range: ", *out));
}

void ReadBlockDevice(const JsonReader& in, uint32_t* major, uint32_t* minor) {
  in.RequireInt("major", major);
  in.RequireInt("minor", minor);
}

void ReadRates(const JsonReader& in, const char* key, std::vector<os::BlockIoLimits::Rate>* out) {
  std::set<std::pair<uint32_t, uint32_t>> seen;
  in.Each(key, [&](const JsonReader& item) {
    os::BlockIoLimits::Rate& rate = out->emplace_back();
    ReadBlockDevice(item, &rate.major, &rate.minor);
    item.RequireInt("rate", &rate.rate);
    if (!seen.emplace(rate.major, rate.minor).second)
      item.Fail("minor", "the device appears twice");
  });
}

void ReadBlockIo(const JsonReader& in, os::BlockIoLimits* out) {
  ReadWeight(in, "weight", &out->weight);
  ReadWeight(in, "leafWeight", &out->leaf_weight);
  in.Each("weightDevice", [&](const JsonReader& item) {
    os::BlockIoLimits::Weight& weight = out->device_weights.emplace_back();
    ReadBlockDevice(item, &weight.major, &weight.minor);
    ReadWeight(item, "weight", &weight.weight);
    ReadWeight(item, "leafWeight", &weight.leaf_weight);
    if (weight.weight == 0 && weight.leaf_weight == 0) {
      item.Fail("weight", "it or leafWeight is required");
    }
  });
  ReadRates(in, "throttleReadBpsDevice", &out->read_bps);
  ReadRates(in, "throttleWriteBpsDevice", &out->write_bps);
  ReadRates(in, "throttleReadIOPSDevice", &out->read_iops);
  ReadRates(in, "throttleWriteIOPSDevice", &out->write_iops);
}

// "2MB": digits and K, M or G.
bool IsPageSize(absl::string_view size) {
  if (size.size() < 3 || size[0] == '0' || !absl::EndsWith(size, "B")) return false;
  size.remove_suffix(1);
  const char unit = size.back();
  size.remove_suffix(1);
  return (unit == 'K' || unit == 'M' || unit == 'G') &&
         size.find_first_not_of("0123456789") == absl::string_view::npos;
}

void ReadHugepages(const JsonReader& in, std::map<std::string, uint64_t>* out) {
  in.Each("hugepageLimits", [&](const JsonReader& item) {
    std::string size;
    uint64_t limit = 0;
    item.Require("pageSize", &size);
    if (!IsPageSize(size)) item.Fail("pageSize", absl::StrCat("is no page size: ", size));
    item.RequireInt("limit", &limit);
    if (!out->emplace(size, limit).second) {
      item.Fail("pageSize", absl::StrCat("appears twice: ", size));
    }
  });
}

// Names that become a word of a line for the kernel.
bool IsWord(absl::string_view name) {
  for (const char c : name) {
    if (absl::ascii_isspace(static_cast<unsigned char>(c))) return false;
  }
  return !name.empty();
}

void ReadRdma(const JsonReader& in, std::map<std::string, os::RdmaLimits>* out) {
  in.Members("rdma", [&](const std::string& device, const JsonReader& member) {
    if (!IsWord(device)) in.Fail("rdma", absl::StrCat("no device name: \"", device, "\""));
    os::RdmaLimits& limits = (*out)[device];
    member.ReadInt("hcaHandles", &limits.hca_handles);
    member.ReadInt("hcaObjects", &limits.hca_objects);
    if (!limits.hca_handles.has_value() && !limits.hca_objects.has_value()) {
      member.Fail("hcaHandles", "it or hcaObjects is required");
    }
  });
}

void ReadNetwork(const JsonReader& in, os::CgroupLimits* out) {
  in.ReadInt("classID", &out->net_class_id);
  in.Each("priorities", [&](const JsonReader& item) {
    std::string name;
    uint32_t priority = 0;
    item.Require("name", &name);
    if (!IsWord(name)) item.Fail("name", absl::StrCat("no interface name: \"", name, "\""));
    item.RequireInt("priority", &priority);
    if (!out->net_priorities.emplace(name, priority).second) item.Fail("name", "appears twice");
  });
}

void ReadDeviceRule(const JsonReader& in, os::CgroupLimits::DeviceRule* out) {
  in.Require("allow", &out->allow);
  std::string type = "a";
  in.Read("type", &type);
  if (type != "a" && type != "b" && type != "c") return in.Fail("type", "must be a, b or c");
  out->type = type[0];
  in.ReadInt("major", &out->major);
  in.ReadInt("minor", &out->minor);
  for (const auto& [key, number] :
       {std::pair("major", &out->major), std::pair("minor", &out->minor)}) {
    if (*number == -1) number->reset();  // as runc writes "all"
    if (number->value_or(0) < 0 || number->value_or(0) > INT32_MAX) {
      in.Fail(key, absl::StrCat("out of range: ", **number));
    }
  }
  in.Read("access", &out->access);
  if (out->access.empty() || out->access.find_first_not_of("rwm") != std::string::npos) {
    in.Fail("access", absl::StrCat("must be made of r, w and m: \"", out->access, "\""));
  }
}

// A file of the group itself that is a setting of it.
void CheckUnified(const JsonReader& in, const std::string& file, const std::string& value) {
  const std::string key = absl::StrCat("unified[\"", file, "\"]");
  const size_t dot = file.find('.');
  if (dot == std::string::npos || dot == 0 || absl::StrContains(file, "/") || !IsWord(file)) {
    in.Fail(key, "is no file of a cgroup");
  }
  // They move, kill and stop processes, the runtime's own work.
  for (const char* action : {"cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze"}) {
    if (file == action) in.Fail(key, "is no setting");
  }
  if (value.empty()) in.Fail(key, "has no value");
}

}  // namespace

void ReadResources(const JsonReader& in, os::CgroupLimits* out) {
  ReadCpu(in.Object("cpu"), out);
  ReadMemory(in.Object("memory"), out);
  if (in.Has("pids")) {
    const JsonReader pids = in.Object("pids");
    pids.RequireInt("limit", &out->pids_max);
    if (out->pids_max.value_or(0) < -1) {
      pids.Fail("limit", absl::StrCat("out of range: ", *out->pids_max));
    }
  }
  ReadBlockIo(in.Object("blockIO"), &out->block_io);
  ReadHugepages(in, &out->hugepage_bytes);
  ReadRdma(in, &out->rdma);
  ReadNetwork(in.Object("network"), out);
  in.Read("unified", &out->unified);
  for (const auto& [file, value] : out->unified) CheckUnified(in, file, value);
  in.Each("devices",
          [&](const JsonReader& item) { ReadDeviceRule(item, &out->devices.emplace_back()); });
}

absl::StatusOr<os::CgroupLimits> ParseResources(absl::string_view json) {
  RETURN_IF_ERROR(CheckJson(json));
  ASSIGN_OR_RETURN(const nlohmann::json value, ParseJsonObject(json));
  os::CgroupLimits limits;
  absl::Status error;
  ReadResources(JsonReader(&value, "", &error), &limits);
  if (!error.ok()) return error;
  return limits;
}

}  // namespace berth::shim::oci
