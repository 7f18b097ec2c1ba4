#include "sandbox/pod_network.h"

#include <arpa/inet.h>

#include <climits>
#include <set>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/os/sysctl.h"
#include "base/status_macros.h"
#include "sandbox/quantity.h"
#include "sandbox/unimplemented.h"

namespace berth::sandbox {
namespace {

constexpr int kMaxPort = 65535;
constexpr char kIngress[] = "kubernetes.io/ingress-bandwidth";
constexpr char kEgress[] = "kubernetes.io/egress-bandwidth";
constexpr uint64_t kBurst = INT_MAX;  // as peers set it: the rate is what counts
constexpr char kPortStart[] = "net.ipv4.ip_unprivileged_port_start";

bool IsAddress(const std::string& text) {
  in6_addr address;
  return inet_pton(AF_INET, text.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

absl::Status CheckPort(const std::string& field, const cri::PortMapping& port) {
  if (!cri::Protocol_IsValid(port.protocol())) {
    return Invalid(field + ".protocol", absl::StrCat(port.protocol(), " is none"));
  }
  if (port.host_port() < 0 || port.host_port() > kMaxPort) {
    return Invalid(field + ".host_port", absl::StrCat(port.host_port(), " is not 0 to 65535"));
  }
  if (port.container_port() < 0 || port.container_port() > kMaxPort) {
    return Invalid(field + ".container_port",
                   absl::StrCat(port.container_port(), " is not 0 to 65535"));
  }
  if (port.host_port() != 0 && port.container_port() == 0) {
    return Invalid(field + ".container_port", "must be given where host_port is");
  }
  if (!port.host_ip().empty() && !IsAddress(port.host_ip())) {
    return Invalid(field + ".host_ip", absl::StrCat("\"", port.host_ip(), "\" is no address"));
  }
  return absl::OkStatus();
}

cni::Protocol ToProtocol(cri::Protocol protocol) {
  switch (protocol) {
    case cri::UDP:
      return cni::Protocol::kUdp;
    case cri::SCTP:
      return cni::Protocol::kSctp;
    case cri::TCP:
    case cri::Protocol_INT_MIN_SENTINEL_DO_NOT_USE_:
    case cri::Protocol_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return cni::Protocol::kTcp;
}

absl::StatusOr<uint64_t> Rate(const cri::PodSandboxConfig& config, const char* annotation) {
  const auto it = config.annotations().find(annotation);
  if (it == config.annotations().end()) return uint64_t{0};
  absl::StatusOr<uint64_t> rate = ParseQuantity(it->second);
  if (!rate.ok()) {
    return Annotate(rate.status(), absl::StrCat("config.annotations[", annotation, "]"));
  }
  return rate;
}

absl::StatusOr<cni::Bandwidth> ToBandwidth(const cri::PodSandboxConfig& config) {
  cni::Bandwidth bandwidth;
  ASSIGN_OR_RETURN(bandwidth.ingress_rate, Rate(config, kIngress));
  ASSIGN_OR_RETURN(bandwidth.egress_rate, Rate(config, kEgress));
  bandwidth.ingress_burst = bandwidth.ingress_rate == 0 ? 0 : kBurst;
  bandwidth.egress_burst = bandwidth.egress_rate == 0 ? 0 : kBurst;
  return bandwidth;
}

absl::StatusOr<cni::AttachRequest> ToRequest(const SandboxId& id, const SandboxRecord& record) {
  const cri::PodSandboxConfig config = ConfigOf(record);
  cni::AttachRequest request;
  request.id = id.str();
  request.netns_path = record.network_path();
  request.args = {{"IgnoreUnknown", "1"},
                  {"K8S_POD_NAMESPACE", config.metadata().namespace_()},
                  {"K8S_POD_NAME", config.metadata().name()},
                  {"K8S_POD_INFRA_CONTAINER_ID", id.str()},
                  {"K8S_POD_UID", config.metadata().uid()}};
  for (const cri::PortMapping& port : config.port_mappings()) {
    if (port.host_port() == 0) continue;
    request.port_mappings.push_back({ToProtocol(port.protocol()),
                                     static_cast<uint16_t>(port.host_port()),
                                     static_cast<uint16_t>(port.container_port()), port.host_ip()});
  }
  ASSIGN_OR_RETURN(request.bandwidth, ToBandwidth(config));
  const cri::DNSConfig& dns = config.dns_config();
  request.dns.servers.assign(dns.servers().begin(), dns.servers().end());
  request.dns.searches.assign(dns.searches().begin(), dns.searches().end());
  request.dns.options.assign(dns.options().begin(), dns.options().end());
  request.cgroup_path = record.cgroup_parent();
  request.pod_annotations.insert(config.annotations().begin(), config.annotations().end());
  return request;
}

bool IsIpcSysctl(absl::string_view path) {
  return absl::StartsWith(path, "kernel/shm") || absl::StartsWith(path, "kernel/msg") ||
         path == "kernel/sem" || absl::StartsWith(path, "fs/mqueue/");
}

}  // namespace

bool HasOwnNetwork(const cri::PodSandboxConfig& config) {
  return config.linux().security_context().namespace_options().network() != cri::NODE;
}

absl::Status CheckNetwork(const cri::PodSandboxConfig& config) {
  // With host network a container's port is the host's port already.
  if (!HasOwnNetwork(config)) return absl::OkStatus();
  std::set<std::tuple<int, int, std::string>> seen;
  for (int i = 0; i < config.port_mappings_size(); ++i) {
    const cri::PortMapping& port = config.port_mappings(i);
    const std::string field = absl::StrCat("config.port_mappings[", i, "]");
    RETURN_IF_ERROR(CheckPort(field, port));
    if (port.host_port() != 0 &&
        !seen.emplace(port.protocol(), port.host_port(), port.host_ip()).second) {
      return Invalid(field + ".host_port", absl::StrCat(port.host_port(), " is mapped twice"));
    }
  }
  return ToBandwidth(config).status();
}

absl::Status CheckSysctls(const cri::PodSandboxConfig& config) {
  const bool own_ipc = config.linux().security_context().namespace_options().ipc() != cri::NODE;
  for (const auto& [name, value] : config.linux().sysctls()) {
    const absl::StatusOr<std::string> path = os::SysctlPath(name);
    if (!path.ok()) return Invalid("linux.sysctls", path.status().message());
    const bool of_network = absl::StartsWith(*path, "net/");
    if (!of_network && !IsIpcSysctl(*path)) {
      return Invalid("linux.sysctls", absl::StrCat(name, " is not of a namespace of the pod's"));
    }
    if (of_network && !HasOwnNetwork(config)) {
      return Invalid("linux.sysctls", absl::StrCat(name, " is the host's with host network"));
    }
    if (!of_network && !own_ipc) {
      return Invalid("linux.sysctls", absl::StrCat(name, " is the host's with host IPC"));
    }
  }
  return absl::OkStatus();
}

std::map<std::string, std::string> PodSysctls(const cri::PodSandboxConfig& config) {
  std::map<std::string, std::string> sysctls(config.linux().sysctls().begin(),
                                             config.linux().sysctls().end());
  // Inside a network of its own a low port is nobody else's. The same name may be given with
  // slashes.
  const bool given = sysctls.count("net/ipv4/ip_unprivileged_port_start") != 0;
  if (HasOwnNetwork(config) && !given) sysctls.emplace(kPortStart, "0");
  return sysctls;
}

absl::StatusOr<std::vector<std::string>> AttachPod(Core& core, const Pod& pod) {
  const SandboxRecord record = pod.view()->record;
  if (record.network_path().empty()) return std::vector<std::string>();
  ASSIGN_OR_RETURN(const cni::AttachRequest request, ToRequest(pod.id, record));
  ASSIGN_OR_RETURN(cni::Attachment attachment,
                   core.network.Attach(request, Deadline::After(core.options.attach_timeout)));
  return std::move(attachment.ips);
}

absl::Status DetachPod(Core& core, const Pod& pod) {
  const std::string path = pod.view()->record.network_path();
  if (path.empty()) return absl::OkStatus();
  return core.network.Detach(pod.id.str(), core.host->IsNetworkPinned(path) ? path : "",
                             Deadline::After(core.options.detach_timeout));
}

bool OwesDetach(const Core& core, const Pod& pod) {
  if (pod.view()->record.network_path().empty()) return false;
  const std::vector<std::string> attached = core.network.Attached();
  return std::find(attached.begin(), attached.end(), pod.id.str()) != attached.end();
}

}  // namespace berth::sandbox
