// Daemon: the parts of berthd in the order they begin and end. main owns one.
//
//   Start: state directories and locks ─► kernel ─► store ─► images ─► launcher ─► runtime
//          (reconciled) ─► import directory ─► admin socket ─► CRI socket
//   Stop:  sockets ─► calls under way, for a while ─► everything in reverse; containers live on
//
// Not thread-safe.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/config.h"
#include "server/process_limits.h"

namespace berth::server {

class Daemon {
 public:
  // The sockets answer when this returns. FailedPrecondition: the host or the directories are not
  // fit, with the reason. `config` outlives the daemon. Containers begin with `file_limit`.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const Config& config,
                                                       const FileLimit& file_limit);
  ~Daemon();

  // Takes no more calls and waits for those under way, as long as the configuration says. False:
  // some are still running, so nothing may be destroyed; the process is to end as it is.
  bool Stop();

 private:
  struct Parts;
  explicit Daemon(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace berth::server
