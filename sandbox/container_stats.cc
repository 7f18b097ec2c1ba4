#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "sandbox/filters.h"
#include "sandbox/stats.h"
#include "sandbox/usage_messages.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

// The first measurement of a writable layer is worth this wait, once.
constexpr absl::Duration kPatience = absl::Milliseconds(500);
constexpr absl::Duration kListPatience = absl::Milliseconds(200);

void FillAttributes(const cri::ContainerStatus& status, cri::ContainerAttributes* attributes) {
  attributes->set_id(status.id());
  *attributes->mutable_metadata() = status.metadata();
  *attributes->mutable_labels() = status.labels();
  *attributes->mutable_annotations() = status.annotations();
}

}  // namespace

absl::StatusOr<cri::ContainerStats> StatsOf(Core& core, const ContainerPtr& container,
                                            Deadline patience) {
  const ContainerViewPtr view = container->view();
  cri::ContainerStats stats;
  FillAttributes(view->status, stats.mutable_attributes());
  if (!view->ended()) {
    const absl::StatusOr<os::CgroupStats> used =
        container->usage.Read(*core.resources, view->record.cgroups_path());
    // Ended between the look at its state and this one: what it used went with its cgroup.
    if (!used.ok() && !container->view()->ended()) {
      return Annotate(used.status(), absl::StrCat("read stats of container ", view->status.id()));
    }
    if (used.ok()) {
      const int64_t wall = WallNanos();
      *stats.mutable_cpu() = ToCpuUsage(*used, container->usage, wall, MonotonicNanos());
      *stats.mutable_memory() = ToMemoryUsage(*used, wall);
      *stats.mutable_swap() = ToSwapUsage(*used, wall);
      *stats.mutable_io() = ToIoUsage(*used, wall);
    }
  }
  if (const std::optional<LayerSample> layer = LayerUsage(core, container, patience)) {
    cri::FilesystemUsage* usage = stats.mutable_writable_layer();
    usage->set_timestamp(layer->measured_at);
    usage->mutable_fs_id()->set_mountpoint(core.DataMountPoint());
    usage->mutable_used_bytes()->set_value(layer->bytes);
    usage->mutable_inodes_used()->set_value(layer->inodes);
  }
  return stats;
}

std::vector<cri::ContainerStats> StatsOfRunning(Core& core, const cri::ContainerFilter& filter,
                                                Deadline patience) {
  std::vector<ContainerPtr> matching;
  for (const ContainerPtr& container : core.containers.All()) {
    const ContainerViewPtr view = container->view();
    if (view->state != ContainerState::kRunning || !Matches(*view, filter)) continue;
    // All first measurements are asked for before the first is waited for.
    (void)LayerUsage(core, container, Deadline::After(absl::ZeroDuration()));
    matching.push_back(container);
  }
  std::vector<cri::ContainerStats> all;
  for (const ContainerPtr& container : matching) {
    absl::StatusOr<cri::ContainerStats> stats = StatsOf(core, container, patience);
    if (stats.ok() && stats->has_cpu()) all.push_back(*std::move(stats));
  }
  return all;
}

absl::StatusOr<cri::ContainerStatsResponse> ContainerStats(
    Core& core, const cri::ContainerStatsRequest& request) {
  ASSIGN_OR_RETURN(const ContainerPtr container, FindContainer(core, request.container_id()));
  cri::ContainerStatsResponse response;
  ASSIGN_OR_RETURN(*response.mutable_stats(), StatsOf(core, container, Deadline::After(kPatience)));
  return response;
}

cri::ListContainerStatsResponse ListContainerStats(Core& core,
                                                   const cri::ListContainerStatsRequest& request) {
  cri::ContainerFilter filter;
  filter.set_id(request.filter().id());
  filter.set_pod_sandbox_id(request.filter().pod_sandbox_id());
  *filter.mutable_label_selector() = request.filter().label_selector();
  cri::ListContainerStatsResponse response;
  for (cri::ContainerStats& stats : StatsOfRunning(core, filter, Deadline::After(kListPatience))) {
    *response.add_stats() = std::move(stats);
  }
  return response;
}

}  // namespace berth::sandbox
