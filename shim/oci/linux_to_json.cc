#include <nlohmann/json.hpp>
#include <utility>

#include "shim/oci/spec_parts.h"

namespace berth::shim::oci {
namespace {

using Json = nlohmann::json;

Json IntelRdtToJson(const IntelRdt& in) {
  Json out = {{"schemata", in.schemata}, {"enableMonitoring", in.enable_monitoring}};
  if (!in.clos_id.empty()) out["closID"] = in.clos_id;
  if (!in.l3_cache_schema.empty()) out["l3CacheSchema"] = in.l3_cache_schema;
  if (!in.mem_bw_schema.empty()) out["memBwSchema"] = in.mem_bw_schema;
  return out;
}

void PutKernelSettings(const Linux& in, Json* out) {
  for (const auto& [clock, offset] : in.time_offsets) {
    (*out)["timeOffsets"][clock] = {{"secs", offset.secs}, {"nanosecs", offset.nanosecs}};
  }
  if (in.personality.has_value()) {
    (*out)["personality"] = {{"domain", in.personality->domain}, {"flags", in.personality->flags}};
  }
  if (in.memory_policy.has_value()) {
    (*out)["memoryPolicy"] = {{"mode", in.memory_policy->mode},
                              {"nodes", in.memory_policy->nodes},
                              {"flags", in.memory_policy->flags}};
  }
  if (in.intel_rdt.has_value()) (*out)["intelRdt"] = IntelRdtToJson(*in.intel_rdt);
  for (const auto& [host, name] : in.net_devices) {
    (*out)["netDevices"][host] = Json::object();
    if (!name.empty()) (*out)["netDevices"][host]["name"] = name;
  }
  // A text that is no JSON becomes a string, which no reader takes for a profile.
  if (!in.seccomp.empty()) {
    Json profile = Json::parse(in.seccomp, nullptr, /*allow_exceptions=*/false);
    (*out)["seccomp"] = profile.is_discarded() ? Json(in.seccomp) : std::move(profile);
  }
}

}  // namespace

void PutMappings(const os::UserMappings& mappings, Json* out) {
  for (const auto& [key, list] :
       {std::pair("uidMappings", &mappings.uids), std::pair("gidMappings", &mappings.gids)}) {
    for (const os::IdMapping& m : *list) {
      (*out)[key].push_back(
          {{"containerID", m.container_id}, {"hostID", m.host_id}, {"size", m.length}});
    }
  }
}

Json LinuxToJson(const Linux& in) {
  Json out = {{"resources", ResourcesToJson(in.resources)},
              {"maskedPaths", in.masked_paths},
              {"readonlyPaths", in.readonly_paths}};
  for (const Namespace& ns : in.namespaces) {
    Json item = {{"type", NamespaceName(static_cast<int>(ns.type))}};
    if (!ns.path.empty()) item["path"] = ns.path;
    out["namespaces"].push_back(std::move(item));
  }
  PutMappings(in.mappings, &out);
  for (const Device& device : in.devices) {
    out["devices"].push_back({{"path", device.path},
                              {"type", std::string(1, device.type)},
                              {"major", device.major},
                              {"minor", device.minor},
                              {"fileMode", device.file_mode},
                              {"uid", device.uid},
                              {"gid", device.gid}});
  }
  if (!in.cgroups_path.empty()) out["cgroupsPath"] = in.cgroups_path;
  if (!in.sysctl.empty()) out["sysctl"] = in.sysctl;
  if (!in.rootfs_propagation.empty()) out["rootfsPropagation"] = in.rootfs_propagation;
  if (!in.mount_label.empty()) out["mountLabel"] = in.mount_label;
  PutKernelSettings(in, &out);
  return out;
}

}  // namespace berth::shim::oci
