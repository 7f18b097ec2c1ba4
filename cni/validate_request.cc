#include "cni/validate_request.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace berth::cni {
namespace {

bool IsContainerId(const std::string& id) {
  return !id.empty() && absl::ascii_isalnum(static_cast<unsigned char>(id[0])) &&
         std::all_of(id.begin(), id.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
         });
}

// What the kernel takes as a link's name (dev_valid_name).
bool IsInterfaceName(const std::string& name) {
  return !name.empty() && name.size() < 16 && name != "." && name != ".." &&
         std::none_of(name.begin(), name.end(), [](unsigned char c) {
           return c == '/' || c == ':' || c == '\0' || absl::ascii_isspace(c);
         });
}

absl::Status Bad(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("attach to CNI network: ", what));
}

}  // namespace

absl::Status ValidateRequest(const AttachRequest& request) {
  if (!IsContainerId(request.id)) return Bad("the id is not a CNI container id");
  if (!IsInterfaceName(request.if_name)) return Bad("not a name for a network interface");
  if (request.netns_path.empty() || request.netns_path[0] != '/' ||
      request.netns_path.find('\0') != std::string::npos) {
    return Bad("the network namespace is not an absolute path");
  }
  for (const PortMapping& mapping : request.port_mappings) {
    if (mapping.host_port == 0 || mapping.container_port == 0) {
      return Bad("a port mapping with port 0");
    }
  }
  return absl::OkStatus();
}

}  // namespace berth::cni
