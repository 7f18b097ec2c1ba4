#include "cni/capability_args.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace berth::cni {
namespace {

using nlohmann::json;

const char* ProtocolName(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp:
      return "tcp";
    case Protocol::kUdp:
      return "udp";
    case Protocol::kSctp:
      return "sctp";
  }
  return "";
}

json PortMappings(const std::vector<PortMapping>& mappings) {
  json list = json::array();
  for (const PortMapping& mapping : mappings) {
    json entry = {{"hostPort", mapping.host_port},
                  {"containerPort", mapping.container_port},
                  {"protocol", ProtocolName(mapping.protocol)}};
    if (!mapping.host_ip.empty()) entry["hostIP"] = mapping.host_ip;
    list.push_back(std::move(entry));
  }
  return list;
}

// The plugin refuses a rate without a burst; the largest that it takes stands for "no limit".
uint64_t Burst(uint64_t bits) { return bits > 0 ? bits : UINT32_MAX; }

json BandwidthLimits(const Bandwidth& bandwidth) {
  json limits = json::object();
  if (bandwidth.ingress_rate > 0) {
    limits["ingressRate"] = bandwidth.ingress_rate;
    limits["ingressBurst"] = Burst(bandwidth.ingress_burst);
  }
  if (bandwidth.egress_rate > 0) {
    limits["egressRate"] = bandwidth.egress_rate;
    limits["egressBurst"] = Burst(bandwidth.egress_burst);
  }
  return limits;
}

json DnsSettings(const Dns& dns) {
  json settings = json::object();
  if (!dns.servers.empty()) settings["servers"] = dns.servers;
  if (!dns.searches.empty()) settings["searches"] = dns.searches;
  if (!dns.options.empty()) settings["options"] = dns.options;
  return settings;
}

std::map<std::string, json> AllArgs(const AttachRequest& request) {
  std::map<std::string, json> args;
  if (!request.port_mappings.empty()) args["portMappings"] = PortMappings(request.port_mappings);
  if (json limits = BandwidthLimits(request.bandwidth); !limits.empty()) args["bandwidth"] = limits;
  if (json settings = DnsSettings(request.dns); !settings.empty()) args["dns"] = settings;
  if (!request.cgroup_path.empty()) args["cgroupPath"] = request.cgroup_path;
  if (!request.pod_annotations.empty()) {
    args["io.kubernetes.cri.pod-annotations"] = request.pod_annotations;
  }
  return args;
}

}  // namespace

std::map<std::string, std::string> CapabilityArgs(const AttachRequest& request,
                                                  const ConfList& list) {
  std::set<std::string> declared;
  for (const PluginConf& plugin : list.plugins) {
    declared.insert(plugin.capabilities.begin(), plugin.capabilities.end());
  }
  if (declared.empty()) return {};
  std::map<std::string, std::string> args;
  for (const auto& [name, value] : AllArgs(request)) {
    if (declared.count(name) == 0) continue;
    args[name] = value.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  return args;
}

absl::StatusOr<std::string> JoinArgs(const std::vector<std::pair<std::string, std::string>>& args) {
  constexpr absl::string_view kForbidden(";\0", 2);
  std::vector<std::string> parts;
  for (const auto& [key, value] : args) {
    if (key.empty() ||
        absl::string_view(key).find_first_of(kForbidden) != absl::string_view::npos ||
        key.find('=') != std::string::npos) {
      return absl::InvalidArgumentError("CNI_ARGS: a key that is empty or has ';', '=' or NUL");
    }
    if (absl::string_view(value).find_first_of(kForbidden) != absl::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("CNI_ARGS: the value of ", key, " has ';' or NUL"));
    }
    parts.push_back(absl::StrCat(key, "=", value));
  }
  return absl::StrJoin(parts, ";");
}

}  // namespace berth::cni
