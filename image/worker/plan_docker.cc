// docker-archives: manifest.json with Config, RepoTags and Layers for each image.
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "image/worker/plan.h"

namespace berth::worker {
namespace {

// The digest that a member's name promises: "<hex>.json", "<hex>.tar" or "blobs/sha256/<hex>".
// Legacy "<id>/layer.tar" promises nothing: that id is not a digest of the bytes.
std::optional<Digest> PromisedDigest(absl::string_view member) {
  if (!absl::ConsumePrefix(&member, "blobs/sha256/") && !absl::ConsumeSuffix(&member, ".json")) {
    return std::nullopt;
  }
  absl::StatusOr<Digest> digest = Digest::FromSha256Hex(member);
  return digest.ok() ? std::optional<Digest>(*digest) : std::nullopt;
}

absl::Status AddDockerImage(const OuterArchive& archive, const DockerImage& entry, Plan* plan) {
  const std::string what = absl::StrCat("read image config ", entry.config);
  ASSIGN_OR_RETURN_CTX(const std::string text, archive.ReadDocument(entry.config), what);
  const Digest digest = DigestOf(text);
  const std::optional<Digest> promised = PromisedDigest(entry.config);
  if (promised.has_value() && *promised != digest) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": its digest is ", digest.str(), ", its name says ", promised->str()));
  }
  ASSIGN_OR_RETURN_CTX(const ConfigDocument config, ParseConfig(text), what);
  PlannedImage image;
  image.set_config_digest(digest.str());
  RETURN_IF_ERROR(SetNames(entry.repo_tags, &image));
  if (entry.layers.size() > kMaxLayers) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": ", entry.layers.size(), " layers, at most ", kMaxLayers));
  }
  std::vector<LayerSource> sources;
  for (const std::string& member : entry.layers) {
    ASSIGN_OR_RETURN_CTX(const uint64_t size, archive.Size(member),
                         absl::StrCat("read layer ", member));
    sources.push_back({member, PromisedDigest(member), "", size});
  }
  return AddImage(std::move(image), config, std::move(sources), plan);
}

}  // namespace

absl::Status PlanDockerArchive(const OuterArchive& archive, Plan* plan) {
  ASSIGN_OR_RETURN(const std::string text, archive.ReadDocument("manifest.json"));
  ASSIGN_OR_RETURN_CTX(const std::vector<DockerImage> images, ParseDockerManifest(text),
                       "read manifest.json");
  for (const DockerImage& image : images) {
    RETURN_IF_ERROR(AddDockerImage(archive, image, plan));
  }
  return absl::OkStatus();
}

}  // namespace berth::worker
