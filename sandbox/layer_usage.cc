// Writable layers are measured by a walk of their files, on one thread of lowest priority: at most
// one walk at a time on the node, and of one container at most every ten seconds.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "sandbox/paths.h"
#include "sandbox/stats.h"

namespace berth::sandbox {
namespace {

constexpr int64_t kMinIntervalNs = 10'000'000'000;
// A walk of a huge layer is not repeated before ten times its own duration.
constexpr int64_t kRest = 10;

void Measure(Core& core, const ContainerPtr& container) {
  const int64_t began = MonotonicNanos();
  const absl::StatusOr<os::TreeUsage> usage = core.resources->Measure(
      absl::StrCat(paths::ContainerDir(core.options, container->id), "/upper"), core.stopping);
  const int64_t ended = MonotonicNanos();
  if (!usage.ok() && !absl::IsCancelled(usage.status()) && !container->view()->ended()) {
    LogWarning("cannot measure writable layer",
               {{"container", container->id.str()}, {"error", usage.status().message()}});
  }
  LayerCell& cell = container->layer;
  MutexLock lock(&cell.mu);
  cell.queued = false;
  cell.next_at = ended + std::max(kMinIntervalNs, kRest * (ended - began));
  if (usage.ok()) cell.last = LayerSample{usage->bytes, usage->inodes, WallNanos()};
  cell.measured.NotifyAll();
}

}  // namespace

std::optional<LayerSample> LayerUsage(Core& core, const ContainerPtr& container,
                                      Deadline patience) {
  LayerCell& cell = container->layer;
  bool ask = false;
  {
    MutexLock lock(&cell.mu);
    ask = !cell.queued && MonotonicNanos() >= cell.next_at;
    cell.queued = cell.queued || ask;
  }
  if (ask) {
    const absl::Status accepted =
        core.measures.Submit([&core, container] { Measure(core, container); });
    if (!accepted.ok()) {
      MutexLock lock(&cell.mu);
      cell.queued = false;  // the next call asks again
    }
  }
  MutexLock lock(&cell.mu);
  while (!cell.last.has_value() && cell.queued && !patience.Expired()) {
    (void)cell.measured.WaitFor(&cell.mu, patience.Remaining());  // the loop looks again
  }
  return cell.last;
}

}  // namespace berth::sandbox
