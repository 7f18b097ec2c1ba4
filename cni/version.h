// Versions of the CNI specification: which one a network is run with.
// Pure functions; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::cni {

// Position among the versions that this program speaks, oldest first; -1: not one of them.
int VersionIndex(absl::string_view version);
// Both are spoken here. The oldest for an unknown one.
bool AtLeast(absl::string_view version, absl::string_view bound);

// What a plugin said to VERSION.
struct PluginVersions {
  std::string type;
  bool unknown = false;  // it does not know the command: any version may do
  std::vector<std::string> supported;
};

// The newest version of the configuration that every plugin speaks; failing that, the newest of
// all that every plugin speaks. FailedPrecondition names the plugins when there is none.
absl::StatusOr<std::string> Negotiate(const std::vector<std::string>& configured,
                                      const std::vector<PluginVersions>& plugins);

// The answer to the VERSION command. InvalidArgument when it is none.
absl::StatusOr<std::vector<std::string>> ParseVersions(absl::string_view output);

}  // namespace berth::cni
