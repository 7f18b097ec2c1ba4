#include "cni/chain.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cni/plugin_input.h"
#include "cni/result.h"

namespace berth::cni {
namespace {

Invocation InvocationOf(const AttachmentFacts& facts, const std::string& netns_path) {
  return {facts.list->name, facts.id, netns_path, facts.if_name, facts.args};
}

}  // namespace

absl::StatusOr<std::string> Chain::NegotiateVersion(const ConfList& list, Deadline deadline) const {
  std::vector<PluginVersions> versions;
  for (const PluginConf& plugin : list.plugins) {
    ASSIGN_OR_RETURN(PluginVersions said,
                     plugins_->Versions(plugin.type, list.name, CallDeadline(deadline)));
    versions.push_back(std::move(said));
  }
  ASSIGN_OR_RETURN_CTX(std::string version, Negotiate(list.versions, versions),
                       absl::StrCat("network ", list.name));
  return version;
}

absl::StatusOr<std::vector<std::string>> Chain::Add(AttachmentFacts* facts,
                                                    const std::function<absl::Status()>& keep,
                                                    Deadline deadline) const {
  const Invocation invocation = InvocationOf(*facts, facts->netns_path);
  std::vector<std::string> ips;
  for (const PluginConf& plugin : facts->list->plugins) {
    const std::string input = PluginInput(plugin, facts->list->name, facts->version,
                                          facts->capability_args, facts->result);
    ASSIGN_OR_RETURN(const std::string output,
                     plugins_->Run(plugin.type, "ADD", invocation, input, CallDeadline(deadline)));
    ASSIGN_OR_RETURN_CTX(
        Result result, ParseResult(output, facts->version),
        absl::StrCat("CNI plugin ", plugin.type, ", ADD for network ", facts->list->name));
    facts->result = std::move(result.json);
    ips = std::move(result.ips);
    RETURN_IF_ERROR(keep());
  }
  if (ips.empty()) {
    return absl::InternalError(absl::StrCat("CNI network ", facts->list->name,
                                            ": the plugins' result has no address for the pod"));
  }
  return ips;
}

absl::Status Chain::Delete(const AttachmentFacts& facts, const std::string& netns_path,
                           Deadline deadline) const {
  const Invocation invocation = InvocationOf(facts, netns_path);
  // Before 0.4.0 DEL knew no previous result.
  const std::string prev_result = AtLeast(facts.version, "0.4.0") ? facts.result : "";
  const std::vector<PluginConf>& plugins = facts.list->plugins;
  for (auto plugin = plugins.rbegin(); plugin != plugins.rend(); ++plugin) {
    const std::string input =
        PluginInput(*plugin, facts.list->name, facts.version, facts.capability_args, prev_result);
    RETURN_IF_ERROR(
        plugins_->Run(plugin->type, "DEL", invocation, input, CallDeadline(deadline)).status());
  }
  return absl::OkStatus();
}

}  // namespace berth::cni
