// A network configuration as CNI specification 1.1 section 1 has it: a list of plugins that run
// one after the other. Parsed once; what a plugin gets is put together from text (invocation.h).
// Value types and pure functions; thread-safe.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::cni {

struct PluginConf {
  std::string type;  // the program's name, without a slash
  // The plugin's object as JSON, never empty, without the keys that the runtime sets itself:
  // cniVersion, name, capabilities, runtimeConfig, prevResult.
  std::string json;
  std::set<std::string> capabilities;  // that it declares
};

struct ConfList {
  std::string name;
  std::vector<std::string> versions;  // that the configuration is written for, at least one
  std::vector<PluginConf> plugins;    // at least one
  std::string bytes;                  // the whole as a list: ParseConfList makes the same of it
};

// A .conflist. InvalidArgument says where and what: "line 3, column 7: ..." or
// "plugins[1].type: ...".
absl::StatusOr<ConfList> ParseConfList(absl::string_view text);

// A .conf or .json: one plugin's object with name and cniVersion, made into a list of one.
absl::StatusOr<ConfList> ParseConf(absl::string_view text);

}  // namespace berth::cni
