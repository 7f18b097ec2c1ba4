#include "server/metrics.h"

#include <fcntl.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/os/file.h"

namespace berth::server {
namespace {

// From a fast List to a stop's grace period.
const prometheus::Histogram::BucketBoundaries& Buckets() {
  static const auto* buckets = new prometheus::Histogram::BucketBoundaries{
      0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120};
  return *buckets;
}

prometheus::Gauge& AddGauge(prometheus::Registry* registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry).Add({});
}

}  // namespace

ProcessUse ReadProcessUse() {
  ProcessUse use;
  if (const auto statm = os::ReadFile("/proc/self/statm", 4096); statm.ok()) {
    const std::vector<std::string> fields = absl::StrSplit(*statm, ' ');
    int64_t pages = 0;
    if (fields.size() > 1 && absl::SimpleAtoi(fields[1], &pages)) {
      use.resident_bytes = pages * sysconf(_SC_PAGESIZE);
    }
  }
  if (const auto fds = os::ListDir(AT_FDCWD, "/proc/self/fd"); fds.ok()) {
    use.open_fds = static_cast<int64_t>(fds->size()) - 1;  // less the one that lists them
  }
  if (const auto tasks = os::ListDir(AT_FDCWD, "/proc/self/task"); tasks.ok()) {
    use.threads = static_cast<int64_t>(tasks->size());
  }
  return use;
}

struct Metrics::Families {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Histogram>& rpc =
      prometheus::BuildHistogram()
          .Name("berth_rpc_duration_seconds")
          .Help("Time from a call's arrival to its answer, by method and gRPC status code.")
          .Register(registry);
  prometheus::Gauge& sandboxes = AddGauge(&registry, "berth_pods", "Pod sandboxes on record.");
  prometheus::Family<prometheus::Gauge>& containers =
      prometheus::BuildGauge()
          .Name("berth_containers")
          .Help("Containers on record, by whether they run.")
          .Register(registry);
  prometheus::Gauge& images = AddGauge(&registry, "berth_images", "Images in the store.");
  prometheus::Gauge& quarantined =
      AddGauge(&registry, "berth_quarantined_records", "Records that could not be understood.");
  prometheus::Gauge& in_flight =
      AddGauge(&registry, "berth_rpc_in_flight", "Calls being worked on.");
  prometheus::Family<prometheus::Gauge>& threads = prometheus::BuildGauge()
                                                       .Name("berth_pool_threads")
                                                       .Help("Threads alive in a worker pool.")
                                                       .Register(registry);
  prometheus::Gauge& resident =
      AddGauge(&registry, "process_resident_memory_bytes", "Resident memory of the daemon.");
  prometheus::Gauge& fds = AddGauge(&registry, "process_open_fds", "Open file descriptors.");
  prometheus::Gauge& process_threads =
      AddGauge(&registry, "process_threads", "Threads of the daemon.");
  prometheus::Gauge& start_time = AddGauge(&registry, "process_start_time_seconds",
                                           "When the daemon started, seconds since the epoch.");
};

Metrics::Metrics(int64_t start_wall_nanos) : families_(std::make_unique<Families>()) {
  prometheus::BuildGauge()
      .Name("berth_build_info")
      .Help("Always 1; the labels say what runs.")
      .Register(families_->registry)
      .Add({{"version", BERTH_VERSION}})
      .Set(1);
  families_->start_time.Set(static_cast<double>(start_wall_nanos) / 1e9);
}

Metrics::~Metrics() = default;

void Metrics::ObserveRpc(absl::string_view method, absl::StatusCode code, absl::Duration duration) {
  families_->rpc
      .Add({{"method", std::string(method)}, {"code", absl::StatusCodeToString(code)}}, Buckets())
      .Observe(absl::ToDoubleSeconds(duration));
}

std::string Metrics::Text(const Gauges& gauges) const {
  Families& f = *families_;
  f.sandboxes.Set(static_cast<double>(gauges.sandboxes));
  f.containers.Add({{"state", "running"}}).Set(static_cast<double>(gauges.running_containers));
  f.containers.Add({{"state", "other"}})
      .Set(static_cast<double>(gauges.containers - gauges.running_containers));
  f.images.Set(static_cast<double>(gauges.images));
  f.quarantined.Set(static_cast<double>(gauges.quarantined_records));
  f.in_flight.Set(static_cast<double>(gauges.calls_in_flight));
  f.threads.Add({{"pool", "lifecycle"}}).Set(static_cast<double>(gauges.lifecycle_threads));
  f.threads.Add({{"pool", "waiting"}}).Set(static_cast<double>(gauges.waiting_threads));
  // Made anew: a family keeps the labels of containers that are gone.
  prometheus::Registry drops;
  auto& lines = prometheus::BuildCounter()
                    .Name("berth_container_log_lines_dropped_total")
                    .Help("Log lines of a running container that its log had no room for.")
                    .Register(drops);
  auto& bytes = prometheus::BuildCounter()
                    .Name("berth_container_log_bytes_dropped_total")
                    .Help("Bytes of text in those lines.")
                    .Register(drops);
  for (const Gauges::LogDrops& of : gauges.log_drops) {
    lines.Add({{"container", of.container}}).Increment(of.lines);
    bytes.Add({{"container", of.container}}).Increment(of.bytes);
  }
  const ProcessUse use = ReadProcessUse();
  f.resident.Set(static_cast<double>(use.resident_bytes));
  f.fds.Set(static_cast<double>(use.open_fds));
  f.process_threads.Set(static_cast<double>(use.threads));
  const prometheus::TextSerializer serializer;
  return serializer.Serialize(f.registry.Collect()) + serializer.Serialize(drops.Collect());
}

}  // namespace berth::server
