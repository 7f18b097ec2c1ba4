// A worker's plan as images: ids, configs and layers are the plan's, names the caller's to give.
// Pure functions; thread-safe.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "image/image_store.h"
#include "image/reference.h"
#include "image_worker.pb.h"

namespace berth::image {

// The one layer of an image that has none, since overlay wants a lower directory: diffID of the tar
// that is only its two end blocks.
Digest EmptyLayer();

// Without names; `size` is what it takes beside its layers. InvalidArgument: more layers than
// overlay can stack, or a config that no process can be given.
absl::StatusOr<Image> ToImage(const worker::PlannedImage& plan);

// The names of an archive, or the one that the caller gives instead.
absl::StatusOr<std::vector<Image>> NameImported(const worker::ImportPlan& plan,
                                                const ImportOptions& options);
// A pull's: the tag (none when the reference has a digest), and the digest of what the registry
// served. DataLoss: that is another digest than the reference's.
absl::StatusOr<std::vector<Image>> NamePulled(const worker::ImportPlan& plan,
                                              const Reference& reference);

std::set<Digest> LayersOf(const std::vector<Image>& images);
// Whether the worker can make that layer.
bool InPlan(const worker::ImportPlan& plan, const Digest& layer);

}  // namespace berth::image
