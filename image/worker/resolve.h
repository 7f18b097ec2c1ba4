// From a reference to a plan: the manifest or index that a registry serves, the one for a platform,
// and its config, each verified. Not thread-safe: one thread, one pull.
#pragma once

#include "absl/status/statusor.h"
#include "image/registry/client.h"
#include "image/worker/plan.h"
#include "image_worker.pb.h"

namespace berth::worker {

// What a registry's client gives; tests put something else there.
class BlobFetcher {
 public:
  virtual ~BlobFetcher() = default;
  virtual absl::StatusOr<registry::ManifestBody> GetManifest(const std::string& reference) = 0;
  virtual absl::StatusOr<std::string> GetBlob(const Digest& digest, uint64_t size) = 0;
};

// NotFound: no manifest for the platform. DataLoss: bytes that are not what a digest or a size
// says. Unimplemented: schema 1, unknown layer types. InvalidArgument: documents that cannot be.
absl::StatusOr<Plan> ResolveImage(const PullRequest& request, BlobFetcher* fetcher);

}  // namespace berth::worker
