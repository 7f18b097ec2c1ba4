#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/edge.h"

namespace berth::server {
namespace {

// What serves instead, or why nothing does. Facts about this version, not promises about the next.
absl::string_view Instead(absl::string_view method) {
  static const auto* texts = new absl::flat_hash_map<absl::string_view, absl::string_view>{
      {"Exec", "this version runs commands with ExecSync only"},
      {"Attach", "this version has no streaming server"},
      {"PortForward", "this version has no streaming server"},
      {"UpdatePodSandboxResources", "this version sets the resources of containers only"},
      {"GetContainerEvents", "this version answers ListContainers and ContainerStatus only"},
      {"CheckpointContainer", "this version makes no checkpoints"},
      {"CheckpointPod", "this version makes no checkpoints"},
      {"RestorePod", "this version makes no checkpoints"},
      {"ListMetricDescriptors", "this version reports no container metrics"},
      {"ListPodSandboxMetrics", "this version reports no container metrics"},
  };
  const auto it = texts->find(method);
  if (it != texts->end()) return it->second;
  if (absl::StrContains(method, "Metrics")) return "this version reports no container metrics";
  return "this version answers the List call for the same objects only";
}

}  // namespace

absl::Status NotOffered(absl::string_view method) {
  return absl::UnimplementedError(absl::StrCat(method, " is not offered: ", Instead(method)));
}

}  // namespace berth::server
