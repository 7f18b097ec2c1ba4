#include "image/worker/plan.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace berth::worker {

Platform HostPlatform() {
#if defined(__x86_64__)
  return {"linux", "amd64", ""};
#elif defined(__aarch64__)
  return {"linux", "arm64", "v8"};
#else
#error "the image platform of this architecture is not known"
#endif
}

int PlatformRank(const Platform& p, const Platform& wanted) {
  if ((!p.os.empty() && p.os != wanted.os) ||
      (!p.architecture.empty() && p.architecture != wanted.architecture)) {
    return 0;
  }
  if (p.architecture.empty()) return 1;
  return p.variant.empty() || p.variant == wanted.variant || p.variant == "v1" ? 3 : 2;
}

absl::Status CheckReference(const std::string& reference) {
  const bool printable =
      std::all_of(reference.begin(), reference.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (reference.empty() || reference.size() > kMaxReferenceBytes || !printable) {
    return absl::InvalidArgumentError(
        absl::StrCat("read image name \"", reference.substr(0, 64), "\": not a reference"));
  }
  return absl::OkStatus();
}

absl::Status SetNames(std::vector<std::string> names, PlannedImage* image) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  for (std::string& name : names) {
    RETURN_IF_ERROR(CheckReference(name));
    const bool bare = name.find_first_of("/:@") == std::string::npos;
    *(bare ? image->add_bare_tags() : image->add_repo_tags()) = std::move(name);
  }
  return absl::OkStatus();
}

absl::Status AddImage(PlannedImage image, const ConfigDocument& document,
                      std::vector<LayerSource> sources, Plan* plan, const Platform& wanted) {
  const std::string who = absl::StrCat("read image config ", image.config_digest());
  const std::string& os = document.config.os();
  const std::string& architecture = document.config.architecture();
  // Hand-made archives leave the platform out; what is said must fit.
  if ((!os.empty() && os != wanted.os) ||
      (!architecture.empty() && architecture != wanted.architecture)) {
    return absl::InvalidArgumentError(absl::StrCat(who, ": the image is for ", os, "/",
                                                   architecture, ", this machine is ",
                                                   PlatformName(wanted)));
  }
  if (sources.size() != document.diff_ids.size()) {
    return absl::InvalidArgumentError(absl::StrCat(who, ": rootfs.diff_ids names ",
                                                   document.diff_ids.size(),
                                                   " layers, the manifest ", sources.size()));
  }
  for (size_t i = 0; i < sources.size(); ++i) {
    PlannedLayer* layer = image.add_layers();
    layer->set_diff_id(document.diff_ids[i].str());
    layer->set_compressed_size(sources[i].size);
    plan->layers.emplace(document.diff_ids[i], std::move(sources[i]));
  }
  *image.mutable_config() = document.config;
  plan->images.push_back(std::move(image));
  return absl::OkStatus();
}

absl::StatusOr<LayerWork> SelectLayers(const UnpackRequest& request, const Plan& plan) {
  LayerWork work;
  std::set<std::string> seen;
  for (const std::string& text : request.diff_ids()) {
    ASSIGN_OR_RETURN(const Digest diff_id, Digest::Parse(text));
    const auto it = plan.layers.find(diff_id);
    if (it == plan.layers.end()) {
      return absl::InternalError(absl::StrCat("unpack layer ", text, ": not in the plan"));
    }
    if (seen.insert(text).second) work.emplace_back(diff_id, it->second);
  }
  std::stable_sort(work.begin(), work.end(),
                   [](const auto& a, const auto& b) { return a.second.size > b.second.size; });
  return work;
}

absl::StatusOr<Plan> MakePlan(const OuterArchive& archive) {
  Plan plan;
  if (archive.Has("oci-layout")) {
    RETURN_IF_ERROR(PlanOciLayout(archive, &plan));
  } else if (archive.Has("manifest.json")) {
    RETURN_IF_ERROR(PlanDockerArchive(archive, &plan));
  } else {
    return absl::InvalidArgumentError(
        "read archive: neither an OCI image layout (oci-layout) nor a docker-archive "
        "(manifest.json)");
  }
  if (plan.images.empty()) return absl::InvalidArgumentError("read archive: it has no image");
  return plan;
}

}  // namespace berth::worker
