// ImageIndex: an immutable snapshot of all images and of what each name means. A change makes a new
// one. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "image/image_store.h"

namespace berth::image {

class ImageIndex {
 public:
  using Ptr = std::shared_ptr<const ImageIndex>;

  // Two images with the same name: the one with the greater id has it (records never say so).
  static Ptr Make(std::map<Digest, ImagePtr> images);

  std::vector<ImagePtr> List() const;  // by id
  ImagePtr FindById(const Digest& id) const;
  // As ImageStore::Find.
  ImagePtr Find(absl::string_view reference) const;
  // Every layer that some image is made of.
  const std::set<Digest>& Layers() const { return layers_; }

  // What becomes of the images when `incoming` is added: itself, merged with an image of the same
  // id (names of both, pinned when either is), and those that lose a name to it.
  std::vector<ImagePtr> Added(Image incoming) const;
  // A snapshot with these images in place of those with the same ids.
  Ptr With(const std::vector<ImagePtr>& changed) const;
  Ptr Without(const Digest& id) const;

 private:
  ImagePtr FindByPrefix(absl::string_view hex) const;

  std::map<Digest, ImagePtr> images_;
  std::map<std::string, ImagePtr> by_name_;  // canonical tag or digest reference
  std::set<Digest> layers_;
};

}  // namespace berth::image
