// One layer from a stream to a directory: blob -> sha256 (blob) -> inflate -> sha256 (diffID) ->
// tar
// -> files. Thread-safe: no state between calls.
#pragma once

#include <atomic>
#include <string>

#include "absl/status/statusor.h"
#include "image/worker/limits.h"
#include "image/worker/plan.h"
#include "image_worker.pb.h"

namespace berth::worker {

// Where a layer goes, and what it shares with its neighbours.
struct LayerTarget {
  int staging_fd = -1;
  std::string name;
  Limits limits;
  const std::atomic<bool>* stop = nullptr;
  std::atomic<uint64_t>* unpacked = nullptr;  // uncompressed bytes are added, when it is there
};

// Makes the directory `name` in `staging_fd`. InvalidArgument when a digest does not match, naming
// it, expected and found; the directory is then for the caller (of this program) to remove.
absl::StatusOr<LayerDone> UnpackLayer(ByteSource* blob, const Digest& diff_id,
                                      const LayerSource& source, const LayerTarget& target);

// Unimplemented when no layer that can be unpacked has this mediaType.
absl::Status CheckLayerType(const std::string& media_type);

}  // namespace berth::worker
