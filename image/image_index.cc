#include "image/image_index.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "image/reference.h"

namespace berth::image {
namespace {

constexpr size_t kShortestPrefix = 12;

std::vector<std::string> Union(const std::vector<std::string>& a,
                               const std::vector<std::string>& b) {
  std::set<std::string> all(a.begin(), a.end());
  all.insert(b.begin(), b.end());
  return {all.begin(), all.end()};
}

std::vector<std::string> Difference(const std::vector<std::string>& a,
                                    const std::vector<std::string>& b) {
  std::vector<std::string> left;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(left));
  return left;
}

}  // namespace

ImageIndex::Ptr ImageIndex::Make(std::map<Digest, ImagePtr> images) {
  auto index = std::make_shared<ImageIndex>();
  for (const auto& [id, image] : images) {
    for (const std::string& tag : image->repo_tags) index->by_name_[tag] = image;
    for (const std::string& digest : image->repo_digests) index->by_name_[digest] = image;
    index->layers_.insert(image->layers.begin(), image->layers.end());
  }
  index->images_ = std::move(images);
  return index;
}

std::vector<ImagePtr> ImageIndex::List() const {
  std::vector<ImagePtr> list;
  list.reserve(images_.size());
  for (const auto& [id, image] : images_) list.push_back(image);
  return list;
}

ImagePtr ImageIndex::FindById(const Digest& id) const {
  auto it = images_.find(id);
  return it == images_.end() ? nullptr : it->second;
}

ImagePtr ImageIndex::FindByPrefix(absl::string_view hex) const {
  if (hex.size() < kShortestPrefix || hex.size() > 64 ||
      !std::all_of(hex.begin(), hex.end(),
                   [](char c) { return absl::ascii_isxdigit(c) && !absl::ascii_isupper(c); })) {
    return nullptr;
  }
  ImagePtr found;
  for (const auto& [id, image] : images_) {
    if (!absl::StartsWith(id.hex(), hex)) continue;
    if (found != nullptr) return nullptr;  // means two: means none
    found = image;
  }
  return found;
}

ImagePtr ImageIndex::Find(absl::string_view reference) const {
  if (absl::StatusOr<Digest> id = Digest::Parse(reference); id.ok()) return FindById(*id);
  // A name wins over an id prefix that is spelled the same.
  if (absl::StatusOr<Reference> parsed = ParseReference(reference); parsed.ok()) {
    auto it = by_name_.find(parsed->Canonical());
    if (it != by_name_.end()) return it->second;
  }
  return FindByPrefix(reference);
}

std::vector<ImagePtr> ImageIndex::Added(Image incoming) const {
  std::vector<ImagePtr> changed;
  for (const auto& [id, image] : images_) {
    if (id == incoming.id) {
      // The same config means the same layers: what was verified first stays.
      Image merged = *image;
      merged.repo_tags = Union(incoming.repo_tags, image->repo_tags);
      merged.repo_digests = Union(incoming.repo_digests, image->repo_digests);
      merged.pinned = incoming.pinned || image->pinned;
      incoming = std::move(merged);
      continue;
    }
    Image poorer = *image;
    poorer.repo_tags = Difference(image->repo_tags, incoming.repo_tags);
    poorer.repo_digests = Difference(image->repo_digests, incoming.repo_digests);
    if (poorer.repo_tags.size() != image->repo_tags.size() ||
        poorer.repo_digests.size() != image->repo_digests.size()) {
      changed.push_back(std::make_shared<const Image>(std::move(poorer)));
    }
  }
  changed.push_back(std::make_shared<const Image>(std::move(incoming)));
  return changed;
}

ImageIndex::Ptr ImageIndex::With(const std::vector<ImagePtr>& changed) const {
  std::map<Digest, ImagePtr> images = images_;
  for (const ImagePtr& image : changed) images[image->id] = image;
  return Make(std::move(images));
}

ImageIndex::Ptr ImageIndex::Without(const Digest& id) const {
  std::map<Digest, ImagePtr> images = images_;
  images.erase(id);
  return Make(std::move(images));
}

}  // namespace berth::image
