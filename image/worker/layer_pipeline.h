// One layer from archive to directory: member -> sha256 (blob) -> inflate -> sha256 (diffID) -> tar
// -> files. Thread-safe: no state between calls.
#pragma once

#include <atomic>
#include <string>

#include "absl/status/statusor.h"
#include "image/worker/limits.h"
#include "image/worker/plan.h"
#include "image_worker.pb.h"

namespace berth::worker {

// Makes the directory `name` in `staging_fd`. InvalidArgument when a digest does not match, naming
// it, expected and found; the directory is then for the caller (of this program) to remove.
absl::StatusOr<LayerDone> UnpackLayer(const OuterArchive& archive, const Digest& diff_id,
                                      const LayerSource& source, int staging_fd,
                                      const std::string& name, const Limits& limits,
                                      const std::atomic<bool>* stop);

}  // namespace berth::worker
