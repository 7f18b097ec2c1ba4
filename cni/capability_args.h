// What a runtime may tell plugins about a pod: the conventions' "capability args", each under the
// name that a plugin declares to get it (containernetworking/cni CONVENTIONS.md; the pod
// annotations as containerd and CRI-O name them).
// Pure functions; thread-safe.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "cni/conf_list.h"
#include "cni/network.h"

namespace berth::cni {

// Capability -> its value as JSON: those that the request has a value for and a plugin of the list
// declares.
std::map<std::string, std::string> CapabilityArgs(const AttachRequest& request,
                                                  const ConfList& list);

// The environment's CNI_ARGS: "A=1;B=2". InvalidArgument for what cannot be written so.
absl::StatusOr<std::string> JoinArgs(const std::vector<std::pair<std::string, std::string>>& args);

}  // namespace berth::cni
