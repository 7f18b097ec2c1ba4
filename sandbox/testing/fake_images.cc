#include "absl/strings/str_cat.h"
#include "sandbox/testing/fakes.h"

namespace berth::sandbox::testing {

void FakeImages::Put(image::Image image) {
  const auto shared = std::make_shared<const image::Image>(std::move(image));
  MutexLock lock(&mu_);
  images_[shared->id.str()] = shared;
  for (const std::string& tag : shared->repo_tags) images_[tag] = shared;
}

std::map<std::string, std::vector<Digest>> FakeImages::held() {
  MutexLock lock(&mu_);
  return held_;
}

void FakeImages::ForgetHolds() {
  MutexLock lock(&mu_);
  held_.clear();
}

int FakeImages::collections() {
  MutexLock lock(&mu_);
  return collections_;
}

absl::StatusOr<std::vector<image::ImagePtr>> FakeImages::Import(os::UniqueFd,
                                                                const image::ImportOptions&) {
  return absl::UnimplementedError("import: the fake has Put");
}
absl::Status FakeImages::ImportDirectory(const std::string&) { return absl::OkStatus(); }

absl::StatusOr<image::ImagePtr> FakeImages::Pull(const image::PullOptions&, const Cancel&) {
  return absl::UnimplementedError("the fake store pulls nothing");
}

std::vector<image::ImagePtr> FakeImages::List() const {
  MutexLock lock(&mu_);
  std::vector<image::ImagePtr> all;
  for (const auto& [name, image] : images_) all.push_back(image);
  return all;
}

image::ImagePtr FakeImages::Find(absl::string_view reference) const {
  MutexLock lock(&mu_);
  const auto it = images_.find(std::string(reference));
  return it == images_.end() ? nullptr : it->second;
}

absl::Status FakeImages::Remove(absl::string_view reference) {
  MutexLock lock(&mu_);
  images_.erase(std::string(reference));
  return absl::OkStatus();
}

absl::StatusOr<image::FsUsage> FakeImages::Usage() const { return image::FsUsage{"/", 1, 1}; }

absl::Status FakeImages::Hold(const std::string& holder, const std::vector<Digest>& layers) {
  MutexLock lock(&mu_);
  held_[holder] = layers;
  return absl::OkStatus();
}

void FakeImages::Unhold(const std::string& holder) {
  MutexLock lock(&mu_);
  held_.erase(holder);
}

absl::Status FakeImages::CollectGarbage() {
  MutexLock lock(&mu_);
  ++collections_;
  return absl::OkStatus();
}

std::vector<std::string> FakeImages::LowerPaths(const std::vector<Digest>& layers) const {
  std::vector<std::string> lowers;
  for (auto it = layers.rbegin(); it != layers.rend(); ++it) {
    lowers.push_back(absl::StrCat("layers/", it->hex()));
  }
  return lowers;
}

absl::StatusOr<shim::SeccompFilter> FakeSeccomp::FilterFor(uint64_t capabilities) {
  shim::SeccompFilter filter;
  filter.program = absl::StrCat("program for ", capabilities);
  return filter;
}

absl::StatusOr<shim::SeccompFilter> FakeSeccomp::FilterFromFile(const std::string& path, uint64_t) {
  shim::SeccompFilter filter;
  filter.program = absl::StrCat("program of ", path);
  return filter;
}

}  // namespace berth::sandbox::testing
