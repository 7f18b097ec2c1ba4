#include "cni/plugin_input.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cni/json_text.h"

namespace berth::cni {

std::string PluginInput(const PluginConf& plugin, absl::string_view network,
                        absl::string_view version,
                        const std::map<std::string, std::string>& capability_args,
                        absl::string_view prev_result) {
  std::vector<std::string> given;
  for (const auto& [name, value] : capability_args) {
    if (plugin.capabilities.count(name) == 0) continue;
    given.push_back(absl::StrCat(JsonString(name), ":", value));
  }
  // The plugin's object has its type at least: what comes before it ends with a comma.
  const absl::string_view own = absl::string_view(plugin.json).substr(1, plugin.json.size() - 2);
  std::string input = absl::StrCat(R"({"cniVersion":)", JsonString(version), R"(,"name":)",
                                   JsonString(network), ",", own);
  if (!given.empty()) {
    absl::StrAppend(&input, R"(,"runtimeConfig":{)", absl::StrJoin(given, ","), "}");
  }
  if (!prev_result.empty()) absl::StrAppend(&input, R"(,"prevResult":)", prev_result);
  input.push_back('}');
  return input;
}

}  // namespace berth::cni
