#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "ctl/args.h"
#include "ctl/commands.h"
#include "ctl/lookup.h"
#include "ctl/output.h"
#include "ctl/table.h"

namespace berth::ctl {
namespace {

std::string BytesOf(bool known, const cri::UInt64Value& value) {
  return known ? Bytes(value.value()) : "-";
}

std::string Cores(const cri::CpuUsage& cpu) {
  if (!cpu.has_usage_nano_cores()) return "-";  // one sample is no rate: asked again, there is one
  return absl::StrFormat("%.3f", static_cast<double>(cpu.usage_nano_cores().value()) / 1e9);
}

// A pod, or a container by name or id.
absl::StatusOr<cri::ContainerStatsFilter> FilterFor(const Context& context,
                                                    const std::string& word) {
  cri::ContainerStatsFilter filter;
  ASSIGN_OR_RETURN(const cri::ListPodSandboxResponse pods, context.cri->ListPods());
  if (const absl::StatusOr<cri::PodSandbox> pod = PickPod(pods, word); pod.ok()) {
    filter.set_pod_sandbox_id(pod->id());
    return filter;
  }
  ASSIGN_OR_RETURN(const cri::Container container, FindContainer(context.cri, word));
  filter.set_id(container.id());
  return filter;
}

}  // namespace

absl::StatusOr<int> Stats(const Context& context, const Words& words) {
  ASSIGN_OR_RETURN(const Args args, Args::Parse({}, words, Order::kAnywhere));
  if (args.rest().size() > 1) return absl::InvalidArgumentError("stats takes one name at most");
  cri::ContainerStatsFilter filter;
  if (!args.rest().empty()) {
    ASSIGN_OR_RETURN(filter, FilterFor(context, args.rest()[0]));
  }
  ASSIGN_OR_RETURN(const cri::ListContainerStatsResponse response, context.cri->ListStats(filter));
  Table table({"CONTAINER", "NAME", "CORES", "CPU TIME", "MEMORY", "WORKING SET", "DISK"});
  for (const cri::ContainerStats& stats : response.stats()) {
    const cri::MemoryUsage& memory = stats.memory();
    const double seconds = static_cast<double>(stats.cpu().usage_core_nano_seconds().value()) / 1e9;
    table.Add({stats.attributes().id().substr(0, 13), stats.attributes().metadata().name(),
               Cores(stats.cpu()), absl::StrFormat("%.1fs", seconds),
               BytesOf(memory.has_usage_bytes(), memory.usage_bytes()),
               BytesOf(memory.has_working_set_bytes(), memory.working_set_bytes()),
               BytesOf(stats.has_writable_layer(), stats.writable_layer().used_bytes())});
  }
  RETURN_IF_ERROR(Print(table.Text()));
  return 0;
}

}  // namespace berth::ctl
