// Network: attaches pods to the node's network by CNI plugins (specification 1.1, negotiated down
// to what the plugins speak) and remembers what it did until it is undone.
//
// Thread-safe. A plugin call holds no lock; calls for one id must not overlap (the pod's operation
// slot sees to that). Plugins run with the host's namespaces, CNI_* and PATH as their environment
// and nothing else, in a process group that is killed when their deadline is over.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/store/store.h"

namespace berth::cni {

enum class Protocol { kTcp, kUdp, kSctp };

struct PortMapping {
  Protocol protocol = Protocol::kTcp;
  uint16_t host_port = 0;  // never 0
  uint16_t container_port = 0;
  std::string host_ip;  // "" = every address
};

struct Bandwidth {  // bits a second and bits; 0 = no limit
  uint64_t ingress_rate = 0, ingress_burst = 0;
  uint64_t egress_rate = 0, egress_burst = 0;
};

struct Dns {
  std::vector<std::string> servers, searches, options;
};

struct AttachRequest {
  std::string id;          // the pod sandbox's: CNI_CONTAINERID
  std::string netns_path;  // CNI_NETNS
  std::string if_name = "eth0";
  std::vector<std::pair<std::string, std::string>> args;  // CNI_ARGS, in this order
  // Given to the plugins that declare the capability, left out for the others.
  std::vector<PortMapping> port_mappings;
  Bandwidth bandwidth;
  Dns dns;
  std::string cgroup_path;
  std::map<std::string, std::string> pod_annotations;
};

struct Attachment {
  std::vector<std::string> ips;  // without prefix length; the first is the pod's primary address
};

class Network {
 public:
  struct Options {
    std::string conf_dir = "/etc/cni/net.d";
    std::vector<std::string> bin_dirs = {"/opt/cni/bin", "/usr/lib/cni"};
    absl::Duration plugin_timeout = absl::Minutes(2);  // of each plugin call
  };
  // Records of attachments (kind "attachment") live in `store`, which is not owned.
  static absl::StatusOr<std::unique_ptr<Network>> Open(Options options, store::Store* store);
  virtual ~Network() = default;

  // OK when there is a configuration that a pod can be attached by. FailedPrecondition says what is
  // missing or broken: the text is what Status shows as NetworkReady's message. Cheap: reads
  // nothing from disk unless the directory changed.
  virtual absl::Status Ready() const = 0;

  // Records the intent (the configuration and arguments as used), then runs ADD of each plugin in
  // order. On failure DEL of all was tried: the record is gone when that worked, else it is kept
  // and Detach tries again. AlreadyExists: `id` is attached.
  virtual absl::StatusOr<Attachment> Attach(const AttachRequest& request, Deadline deadline) = 0;

  // Runs DEL of each plugin in reverse order with the recorded configuration and result, then
  // forgets. No record is success. `netns_path`: "" when the namespace is gone. On error the record
  // stays: call again.
  virtual absl::Status Detach(const std::string& id, const std::string& netns_path,
                              Deadline deadline) = 0;

  // Ids that have a record, whether attached or half-made.
  virtual std::vector<std::string> Attached() const = 0;
};

}  // namespace berth::cni
