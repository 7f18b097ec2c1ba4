// The JSON that a plugin reads from its standard input (CNI specification 1.1 section 4, "Deriving
// execution configuration from plugin configuration"), put together from text.
// Pure functions; thread-safe.
#pragma once

#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "cni/conf_list.h"

namespace berth::cni {

// `capability_args`: values as JSON; the plugin gets those that it declares. `prev_result`: JSON,
// "" = none.
std::string PluginInput(const PluginConf& plugin, absl::string_view network,
                        absl::string_view version,
                        const std::map<std::string, std::string>& capability_args,
                        absl::string_view prev_result);

}  // namespace berth::cni
