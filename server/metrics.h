// Metrics: what Prometheus scrapes, as text. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace berth::server {

// What is counted when somebody asks, not kept.
struct Gauges {
  int64_t sandboxes = 0;
  int64_t containers = 0;
  int64_t running_containers = 0;
  int64_t images = 0;
  int64_t quarantined_records = 0;
  int64_t calls_in_flight = 0;
  int64_t lifecycle_threads = 0;
  int64_t waiting_threads = 0;
  struct LogDrops {  // since the container was created
    std::string container;
    double lines = 0;
    double bytes = 0;
  };
  std::vector<LogDrops> log_drops;
};

// This process, from /proc/self.
struct ProcessUse {
  int64_t resident_bytes = 0;
  int64_t open_fds = 0;
  int64_t threads = 0;
};
ProcessUse ReadProcessUse();

class Metrics {
 public:
  explicit Metrics(int64_t start_wall_nanos);
  ~Metrics();

  // One answered call: berth_rpc_duration_seconds{method, code}.
  void ObserveRpc(absl::string_view method, absl::StatusCode code, absl::Duration duration);

  // Prometheus text format 0.0.4.
  std::string Text(const Gauges& gauges) const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace berth::server
