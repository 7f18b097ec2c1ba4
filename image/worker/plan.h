// What an archive holds: its images and where the bytes of each layer are. Two readers fill it, one
// for each archive form. Not thread-safe while filled; const afterwards.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "image/worker/documents.h"
#include "image/worker/outer_archive.h"
#include "image_worker.pb.h"

namespace berth::worker {

struct LayerSource {
  std::string member;          // of the archive
  std::optional<Digest> blob;  // what its bytes must hash to, where the archive says so
  std::string media_type;      // "" in a docker-archive
  uint64_t size = 0;
};

struct Plan {
  std::vector<PlannedImage> images;
  std::map<Digest, LayerSource> layers;  // by diffID
};

// The platform this program was built for.
Platform HostPlatform();

// How well an image for `p` serves where `wanted` is: 0 is not at all. The baseline goes before
// variants: an x86-64-v3 image may not run on every x86-64.
int PlatformRank(const Platform& p, const Platform& wanted);

// Reads whichever form the archive has; an OCI layout goes first where it is both (docker save
// since version 25). InvalidArgument: neither, or broken.
absl::StatusOr<Plan> MakePlan(const OuterArchive& archive);

// The two forms.
absl::Status PlanOciLayout(const OuterArchive& archive, Plan* plan);
absl::Status PlanDockerArchive(const OuterArchive& archive, Plan* plan);

// Shared by both: adds an image whose layers are `sources` (base first). InvalidArgument when their
// number differs from the config's diffIDs or the platform is another.
absl::Status AddImage(PlannedImage image, const ConfigDocument& document,
                      std::vector<LayerSource> sources, Plan* plan,
                      const Platform& wanted = HostPlatform());

// The layers that the daemon asks for, large ones first: the longest decides when all is done.
using LayerWork = std::vector<std::pair<Digest, LayerSource>>;
absl::StatusOr<LayerWork> SelectLayers(const UnpackRequest& request, const Plan& plan);
// Printable ASCII of a bearable length.
absl::Status CheckReference(const std::string& reference);
// Sorts and removes duplicates; a name without '/', ':' and '@' is a bare tag.
absl::Status SetNames(std::vector<std::string> names, PlannedImage* image);

}  // namespace berth::worker
