#include "cni/version.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cni/json_text.h"

namespace berth::cni {
namespace {

constexpr std::array<absl::string_view, 7> kSpoken = {"0.1.0", "0.2.0", "0.3.0", "0.3.1",
                                                      "0.4.0", "1.0.0", "1.1.0"};

bool SpokenByAll(absl::string_view version, const std::vector<PluginVersions>& plugins) {
  return std::all_of(plugins.begin(), plugins.end(), [&](const PluginVersions& plugin) {
    return plugin.unknown || std::find(plugin.supported.begin(), plugin.supported.end(), version) !=
                                 plugin.supported.end();
  });
}

std::string Describe(const PluginVersions& plugin) {
  return absl::StrCat(plugin.type, ": ",
                      plugin.unknown ? "any" : absl::StrJoin(plugin.supported, " "));
}

}  // namespace

int VersionIndex(absl::string_view version) {
  const auto it = std::find(kSpoken.begin(), kSpoken.end(), version);
  return it == kSpoken.end() ? -1 : static_cast<int>(it - kSpoken.begin());
}

bool AtLeast(absl::string_view version, absl::string_view bound) {
  return VersionIndex(version) >= VersionIndex(bound);
}

absl::StatusOr<std::string> Negotiate(const std::vector<std::string>& configured,
                                      const std::vector<PluginVersions>& plugins) {
  int best = -1;
  for (const std::string& version : configured) {
    if (SpokenByAll(version, plugins)) best = std::max(best, VersionIndex(version));
  }
  if (best < 0) {
    // Nobody says no to an unknown version of the configuration when all plugins keep silent.
    for (const absl::string_view version : kSpoken) {
      if (SpokenByAll(version, plugins)) best = VersionIndex(version);
    }
  }
  if (best >= 0) return std::string(kSpoken[static_cast<size_t>(best)]);
  std::vector<std::string> described;
  described.reserve(plugins.size());
  for (const PluginVersions& plugin : plugins) described.push_back(Describe(plugin));
  return absl::FailedPreconditionError(
      absl::StrCat("no version of CNI that Berth (", kSpoken.front(), " to ", kSpoken.back(),
                   ") and all plugins speak: ", absl::StrJoin(described, "; ")));
}

absl::StatusOr<std::vector<std::string>> ParseVersions(absl::string_view output) {
  RETURN_IF_ERROR(CheckJson(output));
  const auto json = nlohmann::json::parse(output.begin(), output.end(), nullptr, false);
  const auto supported = json.is_object() ? json.find("supportedVersions") : json.end();
  if (!json.is_object() || supported == json.end() || !supported->is_array()) {
    return absl::InvalidArgumentError("no list supportedVersions");
  }
  std::vector<std::string> versions;
  for (const auto& version : *supported) {
    if (!version.is_string()) return absl::InvalidArgumentError("a version that is no string");
    versions.push_back(version.get<std::string>());
  }
  return versions;
}

}  // namespace berth::cni
