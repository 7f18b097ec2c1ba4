// What a plugin's ADD answered, in any version of the specification: 0.1.0 and 0.2.0 (one address
// a family, "ip4", "ip6"), 0.3.0 to 0.4.0 ("ips", each with its family), 1.0.0 and 1.1.0.
// Pure functions; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::cni {

struct Result {
  // In the version asked for; the plugin's own bytes where it answered in that version.
  std::string json;
  // The pod's addresses in the plugin's order, without prefix length, each once, in the usual
  // spelling. Addresses of the host's side and of loopback are left out.
  std::vector<std::string> ips;
};

// `version` is what the plugin was asked with and what `json` will be in; a result that names no
// version is taken to be in it. Internal, with what is wrong, for anything that is no result.
absl::StatusOr<Result> ParseResult(absl::string_view output, absl::string_view version);

}  // namespace berth::cni
