#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/filters.h"
#include "sandbox/stats.h"
#include "sandbox/usage_messages.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

constexpr absl::Duration kPatience = absl::Milliseconds(200);

void FillAttributes(const cri::PodSandboxStatus& status, cri::PodSandboxAttributes* attributes) {
  attributes->set_id(status.id());
  *attributes->mutable_metadata() = status.metadata();
  *attributes->mutable_labels() = status.labels();
  *attributes->mutable_annotations() = status.annotations();
}

bool HasOwnNetwork(const PodView& view) {
  return view.state == PodState::kReady && !view.record.network_path().empty();
}

// All but the network and the containers. What a pod that is not ready used may be gone.
absl::StatusOr<cri::PodSandboxStats> StatsOf(Core& core, Pod& pod, const PodView& view) {
  cri::PodSandboxStats stats;
  FillAttributes(view.status, stats.mutable_attributes());
  const absl::StatusOr<os::CgroupStats> used =
      pod.usage.Read(*core.resources, view.record.cgroup_parent());
  if (!used.ok()) {
    if (pod.view()->state != PodState::kReady) return stats;
    return Annotate(used.status(), absl::StrCat("read stats of pod sandbox ", pod.id.str()));
  }
  const int64_t wall = WallNanos();
  cri::LinuxPodSandboxStats* linux_stats = stats.mutable_linux();
  *linux_stats->mutable_cpu() = ToCpuUsage(*used, pod.usage, wall, MonotonicNanos());
  *linux_stats->mutable_memory() = ToMemoryUsage(*used, wall);
  *linux_stats->mutable_io() = ToIoUsage(*used, wall);
  *linux_stats->mutable_process() = ToProcessUsage(*used, wall);
  return stats;
}

struct Entry {
  PodPtr pod;
  PodViewPtr view;
  cri::PodSandboxStats stats;
};

// One visit of all their network namespaces.
void FillNetworks(Core& core, std::vector<Entry>& entries) {
  std::vector<std::string> paths;
  std::vector<Entry*> owners;
  for (Entry& entry : entries) {
    if (!HasOwnNetwork(*entry.view)) continue;
    paths.push_back(entry.view->record.network_path());
    owners.push_back(&entry);
  }
  const auto interfaces = core.resources->Interfaces(paths);
  if (!interfaces.ok()) {
    LogWarning("cannot read network interfaces", {{"error", interfaces.status().message()}});
    return;
  }
  const int64_t wall = WallNanos();
  for (size_t i = 0; i < owners.size(); ++i) {
    *owners[i]->stats.mutable_linux()->mutable_network() = ToNetworkUsage((*interfaces)[i], wall);
  }
}

// One look at all containers for any number of pods.
void FillContainers(Core& core, const std::string& only_pod, std::vector<Entry>& entries) {
  cri::ContainerFilter filter;
  filter.set_pod_sandbox_id(only_pod);
  std::map<std::string, Entry*> by_id;
  for (Entry& entry : entries) by_id[entry.pod->id.str()] = &entry;
  for (cri::ContainerStats& stats : StatsOfRunning(core, filter, Deadline::After(kPatience))) {
    const ContainerPtr container = core.containers.Find(stats.attributes().id());
    if (container == nullptr) continue;
    const auto pod = by_id.find(container->view()->record.sandbox_id());
    if (pod == by_id.end()) continue;
    *pod->second->stats.mutable_linux()->add_containers() = std::move(stats);
  }
}

}  // namespace

absl::StatusOr<cri::PodSandboxStatsResponse> PodSandboxStats(
    Core& core, const cri::PodSandboxStatsRequest& request) {
  ASSIGN_OR_RETURN(const PodPtr pod, FindPod(core, request.pod_sandbox_id()));
  std::vector<Entry> entries(1);
  entries[0].pod = pod;
  entries[0].view = pod->view();
  ASSIGN_OR_RETURN(entries[0].stats, StatsOf(core, *pod, *entries[0].view));
  FillNetworks(core, entries);
  FillContainers(core, pod->id.str(), entries);
  cri::PodSandboxStatsResponse response;
  *response.mutable_stats() = std::move(entries[0].stats);
  return response;
}

cri::ListPodSandboxStatsResponse ListPodSandboxStats(
    Core& core, const cri::ListPodSandboxStatsRequest& request) {
  cri::PodSandboxFilter filter;
  filter.set_id(request.filter().id());
  *filter.mutable_label_selector() = request.filter().label_selector();
  std::vector<Entry> entries;
  for (const PodPtr& pod : core.pods.All()) {
    PodViewPtr view = pod->view();
    if (view->state != PodState::kReady || !Matches(*view, filter)) continue;
    absl::StatusOr<cri::PodSandboxStats> stats = StatsOf(core, *pod, *view);
    // One that goes meanwhile is left out.
    if (stats.ok() && stats->has_linux()) {
      entries.push_back(Entry{pod, std::move(view), *std::move(stats)});
    }
  }
  FillNetworks(core, entries);
  FillContainers(core, entries.size() == 1 ? entries[0].pod->id.str() : "", entries);
  cri::ListPodSandboxStatsResponse response;
  for (Entry& entry : entries) *response.add_stats() = std::move(entry.stats);
  return response;
}

}  // namespace berth::sandbox
