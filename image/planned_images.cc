#include "image/planned_images.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/image_records.h"

namespace berth::image {
namespace {

constexpr char kEmptyLayer[] =
    "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
constexpr int kMaxLayers = 500;  // OVL_MAX_STACK, fs/overlayfs/params.h
constexpr int kMaxImages = 1000;

absl::Status AddName(const Reference& reference, const worker::PlannedImage& plan, Image* image) {
  if (!reference.digest.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("name image \"", reference.Canonical(), "\": a name has no digest"));
  }
  image->repo_tags.push_back(reference.Canonical());
  if (plan.repo_digest().empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Digest digest, Digest::Parse(plan.repo_digest()));
  image->repo_digests.push_back(absl::StrCat(reference.Repository(), "@", digest.str()));
  return absl::OkStatus();
}

void SortUnique(std::vector<std::string>* names) {
  std::sort(names->begin(), names->end());
  names->erase(std::unique(names->begin(), names->end()), names->end());
}

absl::Status AddNames(const worker::PlannedImage& plan, const ImportOptions& options,
                      Image* image) {
  std::vector<std::string> names(plan.repo_tags().begin(), plan.repo_tags().end());
  if (!options.name.empty()) names = {options.name};
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const Reference reference, ParseReference(name));
    RETURN_IF_ERROR(AddName(reference, plan, image));
  }
  if (names.empty()) {
    LogWarning("image has no name in the archive, it is known by its id only",
               {{"image", image->id.str()},
                {"archive", options.origin},
                {"tags", absl::StrJoin(plan.bare_tags(), ",")}});
  }
  SortUnique(&image->repo_tags);
  SortUnique(&image->repo_digests);
  return absl::OkStatus();
}

}  // namespace

Digest EmptyLayer() { return *Digest::Parse(kEmptyLayer); }

absl::StatusOr<Image> ToImage(const worker::PlannedImage& plan) {
  ASSIGN_OR_RETURN(Digest id, Digest::Parse(plan.config_digest()));
  Image image{std::move(id)};
  ASSIGN_OR_RETURN(image.config, ConfigFromWorker(plan.config()));
  if (plan.layers_size() > kMaxLayers) {
    return absl::InvalidArgumentError(absl::StrCat("read image ", image.id.str(), ": ",
                                                   plan.layers_size(), " layers, the limit is ",
                                                   kMaxLayers));
  }
  for (const worker::PlannedLayer& layer : plan.layers()) {
    ASSIGN_OR_RETURN(const Digest diff_id, Digest::Parse(layer.diff_id()));
    image.layers.push_back(diff_id);
  }
  if (image.layers.empty()) image.layers.push_back(EmptyLayer());
  // What it takes beside its layers; theirs is added when they are there.
  image.size = static_cast<uint64_t>(plan.config().ByteSizeLong());
  return image;
}

absl::StatusOr<std::vector<Image>> NameImported(const worker::ImportPlan& plan,
                                                const ImportOptions& options) {
  if (plan.images().empty() || plan.images_size() > kMaxImages) {
    return absl::InvalidArgumentError(absl::StrCat("read archive: it has ", plan.images_size(),
                                                   " images, wanted 1 to ", kMaxImages));
  }
  if (!options.name.empty() && plan.images_size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat("name image \"", options.name,
                                                   "\": the archive has ", plan.images_size(),
                                                   " images, a name is for one"));
  }
  std::vector<Image> images;
  for (const worker::PlannedImage& planned : plan.images()) {
    ASSIGN_OR_RETURN(Image image, ToImage(planned));
    image.pinned = options.pinned;
    RETURN_IF_ERROR(AddNames(planned, options, &image));
    images.push_back(std::move(image));
  }
  return images;
}

absl::StatusOr<std::vector<Image>> NamePulled(const worker::ImportPlan& plan,
                                              const Reference& reference) {
  if (plan.images_size() != 1) {
    return absl::InternalError(
        absl::StrCat("image worker planned ", plan.images_size(), " images, wanted 1"));
  }
  ASSIGN_OR_RETURN(Image image, ToImage(plan.images(0)));
  ASSIGN_OR_RETURN(const Digest served, Digest::Parse(plan.images(0).repo_digest()));
  if (!reference.digest.empty() && reference.digest != served.str()) {
    return absl::DataLossError(
        absl::StrCat("the registry served ", served.str(), " for ", reference.digest));
  }
  if (reference.digest.empty()) image.repo_tags.push_back(reference.Canonical());
  image.repo_digests.push_back(absl::StrCat(reference.Repository(), "@", served.str()));
  return std::vector<Image>{std::move(image)};
}

std::set<Digest> LayersOf(const std::vector<Image>& images) {
  std::set<Digest> layers;
  for (const Image& image : images) layers.insert(image.layers.begin(), image.layers.end());
  return layers;
}

bool InPlan(const worker::ImportPlan& plan, const Digest& layer) {
  for (const worker::PlannedImage& image : plan.images()) {
    for (const worker::PlannedLayer& planned : image.layers()) {
      if (planned.diff_id() == layer.str()) return true;
    }
  }
  return false;
}

}  // namespace berth::image
