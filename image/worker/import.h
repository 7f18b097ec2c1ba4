// An import from the first byte of the archive to Done. Single use, one thread calls it.
#pragma once

#include "absl/status/status.h"
#include "image/worker/channel.h"
#include "image/worker/limits.h"
#include "image_worker.pb.h"

namespace berth::worker {

struct ImportOptions {
  int archive_fd = -1;
  int staging_fd = -1;
  unsigned threads = 1;  // layers unpacked side by side
  Limits limits;
  Confinement confinement;  // goes into the plan
};

// Plan, request, layers, Done. On error nothing was sent about it yet: the caller sends Failure.
// Cancelled: the daemon closed the socket.
absl::Status RunImport(const ImportOptions& options, Channel* channel);

}  // namespace berth::worker
