// OCI image layouts: index.json, nested indexes, one image for each name.
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "image/worker/limits.h"
#include "image/worker/plan.h"

namespace berth::worker {
namespace {

std::string BlobMember(const Digest& digest) { return absl::StrCat("blobs/sha256/", digest.hex()); }

// A document, verified against its descriptor.
absl::StatusOr<std::string> ReadBlob(const OuterArchive& archive, const Descriptor& d) {
  const std::string what = absl::StrCat("read blob ", d.digest.str());
  ASSIGN_OR_RETURN_CTX(std::string text, archive.ReadDocument(BlobMember(d.digest)), what);
  if (text.size() != d.size) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": ", text.size(), " bytes, its descriptor says ", d.size));
  }
  const Digest found = DigestOf(text);
  if (found != d.digest) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": its digest is ", found.str()));
  }
  return text;
}

// A manifest that some index names, with the platform that the index or its config gives.
struct Leaf {
  Descriptor descriptor;
  Platform platform;
};

class OciReader {
 public:
  OciReader(const OuterArchive& archive, Plan* plan) : archive_(archive), plan_(plan) {}

  absl::Status Read() {
    ASSIGN_OR_RETURN(const std::string layout, archive_.ReadDocument("oci-layout"));
    RETURN_IF_ERROR_CTX(CheckLayoutVersion(layout), "read oci-layout");
    ASSIGN_OR_RETURN(const std::string text, archive_.ReadDocument("index.json"));
    ASSIGN_OR_RETURN_CTX(const Index index, ParseIndex(text, ""), "read index.json");
    RETURN_IF_ERROR(CountWidth(index));
    RETURN_IF_ERROR(ReadDockerNames());
    // Descriptors of one name are the platforms of one image (`skopeo copy --all`).
    std::vector<std::vector<Descriptor>> groups;
    std::map<std::string, size_t> by_name;
    for (const Descriptor& d : index.manifests) {
      const std::string name = d.image_name.empty() ? d.ref_name : d.image_name;
      // Nameless ones are one image only where each says a platform.
      const bool groupable = !name.empty() || d.platform.has_value();
      const auto it = groupable ? by_name.find(name) : by_name.end();
      if (it != by_name.end()) {
        groups[it->second].push_back(d);
        continue;
      }
      if (groupable) by_name[name] = groups.size();
      groups.push_back({d});
    }
    for (const auto& group : groups) RETURN_IF_ERROR(AddGroup(group));
    return absl::OkStatus();
  }

 private:
  absl::Status CountWidth(const Index& index) {
    width_ += index.manifests.size();
    if (width_ <= kMaxIndexWidth) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("read index: more than ", kMaxIndexWidth, " descriptors in all"));
  }

  // docker save writes both forms; tags are in manifest.json when index.json has none.
  absl::Status ReadDockerNames() {
    if (!archive_.Has("manifest.json")) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::string text, archive_.ReadDocument("manifest.json"));
    ASSIGN_OR_RETURN_CTX(const std::vector<DockerImage> images, ParseDockerManifest(text),
                         "read manifest.json");
    for (const DockerImage& image : images) docker_names_[image.config] = image.repo_tags;
    return absl::OkStatus();
  }

  // Manifests below `d`, depth first; an index within an index counts as one level.
  absl::Status Collect(const Descriptor& d, int depth, std::vector<Leaf>* leaves) {
    if (IsIndexType(d.media_type)) {
      if (depth >= kMaxIndexDepth) {
        return absl::InvalidArgumentError(absl::StrCat(
            "read index ", d.digest.str(), ": indexes nested deeper than ", kMaxIndexDepth));
      }
      ASSIGN_OR_RETURN(const std::string text, ReadBlob(archive_, d));
      ASSIGN_OR_RETURN_CTX(const Index index, ParseIndex(text, d.media_type),
                           absl::StrCat("read index ", d.digest.str()));
      RETURN_IF_ERROR(CountWidth(index));
      for (const Descriptor& child : index.manifests) {
        RETURN_IF_ERROR(Collect(child, depth + 1, leaves));
      }
      return absl::OkStatus();
    }
    if (!IsManifestType(d.media_type)) {
      // Something else that an index may hold (image-index.md: unknown types are ignored).
      return absl::OkStatus();
    }
    if (d.platform.has_value()) {
      leaves->push_back({d, *d.platform});
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(d));
    ASSIGN_OR_RETURN(const ConfigDocument config, ReadConfig(manifest));
    leaves->push_back(
        {d, {config.config.os(), config.config.architecture(), config.config.variant()}});
    return absl::OkStatus();
  }

  absl::StatusOr<Manifest> ReadManifest(const Descriptor& d) {
    ASSIGN_OR_RETURN(const std::string text, ReadBlob(archive_, d));
    absl::StatusOr<Manifest> manifest = ParseManifest(text, d.media_type);
    if (!manifest.ok()) {
      return Annotate(manifest.status(), absl::StrCat("read manifest ", d.digest.str()));
    }
    return manifest;
  }

  absl::StatusOr<ConfigDocument> ReadConfig(const Manifest& manifest) {
    const Descriptor& d = manifest.config;
    if (d.media_type != "application/vnd.oci.image.config.v1+json" &&
        d.media_type != "application/vnd.docker.container.image.v1+json") {
      return absl::InvalidArgumentError(absl::StrCat("read image config ", d.digest.str(),
                                                     ": mediaType \"", d.media_type,
                                                     "\" is not an image's"));
    }
    ASSIGN_OR_RETURN(const std::string text, ReadBlob(archive_, d));
    absl::StatusOr<ConfigDocument> config = ParseConfig(text);
    if (!config.ok()) {
      return Annotate(config.status(), absl::StrCat("read image config ", d.digest.str()));
    }
    return config;
  }

  absl::Status AddGroup(const std::vector<Descriptor>& group) {
    std::vector<Leaf> leaves;
    for (const Descriptor& d : group) {
      if (!IsIndexType(d.media_type) && !IsManifestType(d.media_type)) {
        return absl::InvalidArgumentError(absl::StrCat("read index.json: mediaType \"",
                                                       d.media_type, "\" of ", d.digest.str(),
                                                       " is neither manifest nor index"));
      }
      RETURN_IF_ERROR(Collect(d, 1, &leaves));
    }
    const Leaf* best = nullptr;
    std::set<std::string> seen;
    for (const Leaf& leaf : leaves) {
      seen.insert(PlatformName(leaf.platform));
      const auto rank = [](const Leaf& l) { return PlatformRank(l.platform, HostPlatform()); };
      if (rank(leaf) > (best == nullptr ? 0 : rank(*best))) best = &leaf;
    }
    if (best == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("read index ", group.front().digest.str(), ": no image for ",
                       PlatformName(HostPlatform()), ", it has ",
                       seen.empty() ? "none" : absl::StrJoin(seen, ", ")));
    }
    return AddManifest(group, *best);
  }

  absl::Status AddManifest(const std::vector<Descriptor>& group, const Leaf& leaf) {
    ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(leaf.descriptor));
    ASSIGN_OR_RETURN(const ConfigDocument config, ReadConfig(manifest));
    PlannedImage image;
    image.set_config_digest(manifest.config.digest.str());
    image.set_manifest_digest(leaf.descriptor.digest.str());
    image.set_repo_digest(group.size() == 1 ? group.front().digest.str()
                                            : leaf.descriptor.digest.str());
    RETURN_IF_ERROR(SetNames(Names(group.front(), manifest), &image));
    std::vector<LayerSource> sources;
    for (const Descriptor& layer : manifest.layers) {
      const std::string member = BlobMember(layer.digest);
      ASSIGN_OR_RETURN_CTX(const uint64_t size, archive_.Size(member),
                           absl::StrCat("read layer ", layer.digest.str()));
      if (size != layer.size) {
        return absl::InvalidArgumentError(absl::StrCat("read layer ", layer.digest.str(), ": ",
                                                       size, " bytes, its descriptor says ",
                                                       layer.size));
      }
      sources.push_back({member, layer.digest, layer.media_type, size});
    }
    return AddImage(std::move(image), config, std::move(sources), plan_);
  }

  std::vector<std::string> Names(const Descriptor& top, const Manifest& manifest) const {
    std::vector<std::string> names;
    if (!top.image_name.empty()) names.push_back(top.image_name);
    // Beside a full name the reference is only that name's tag (docker save, buildkit).
    if (!top.ref_name.empty() && top.image_name.empty()) names.push_back(top.ref_name);
    const auto it = docker_names_.find(BlobMember(manifest.config.digest));
    if (names.empty() && it != docker_names_.end()) names = it->second;
    return names;
  }

  const OuterArchive& archive_;
  Plan* const plan_;
  size_t width_ = 0;
  std::map<std::string, std::vector<std::string>> docker_names_;
};

}  // namespace

absl::Status PlanOciLayout(const OuterArchive& archive, Plan* plan) {
  return OciReader(archive, plan).Read();
}

}  // namespace berth::worker
