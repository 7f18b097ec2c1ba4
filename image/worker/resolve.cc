#include "image/worker/resolve.h"

#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "image/worker/layer_pipeline.h"
#include "image/worker/sha256.h"

namespace berth::worker {
namespace {

constexpr size_t kMaxConfigBytes = 4 << 20;
constexpr int kMaxIndexes = 16;  // fetched for one image

absl::Status Verify(const std::string& what, const std::string& bytes, const Digest& digest,
                    std::optional<uint64_t> size) {
  if (size.has_value() && bytes.size() != *size) {
    return absl::DataLossError(
        absl::StrCat(what, ": ", bytes.size(), " bytes, its descriptor says ", *size));
  }
  const Digest found = DigestOf(bytes);
  if (found == digest) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(what, ": the digest does not match: expected ",
                                          digest.str(), ", found ", found.str()));
}

bool IsVague(absl::string_view media_type) {
  return media_type.empty() || media_type == "application/json" || media_type == "text/plain" ||
         media_type == "application/octet-stream";
}

class Resolver {
 public:
  Resolver(const PullRequest& request, BlobFetcher* fetcher)
      : request_(request), fetcher_(fetcher) {
    const Platform host = HostPlatform();
    const WantedPlatform& w = request.platform();
    wanted_.os = w.os().empty() ? host.os : w.os();
    wanted_.architecture = w.architecture().empty() ? host.architecture : w.architecture();
    wanted_.variant = w.variant().empty() && wanted_.architecture == host.architecture
                          ? host.variant
                          : w.variant();
  }

  absl::StatusOr<Plan> Resolve() {
    const std::string& reference = request_.digest().empty() ? request_.tag() : request_.digest();
    const std::string what = absl::StrCat("read manifest ", reference);
    ASSIGN_OR_RETURN(const registry::ManifestBody top, fetcher_->GetManifest(reference));
    const Digest digest = DigestOf(top.bytes);
    if (!request_.digest().empty()) {
      ASSIGN_OR_RETURN_CTX(const Digest asked, Digest::Parse(request_.digest()), what);
      RETURN_IF_ERROR(Verify(what, top.bytes, asked, std::nullopt));
    }
    image_.set_repo_digest(digest.str());
    ASSIGN_OR_RETURN_CTX(const bool index, IsIndex(top), what);
    if (!index) {
      RETURN_IF_ERROR(
          AddManifest(digest, top.bytes, IsVague(top.media_type) ? "" : top.media_type));
      return std::move(plan_);
    }
    RETURN_IF_ERROR_CTX(AddIndex(top.bytes, IsVague(top.media_type) ? "" : top.media_type, 1),
                        absl::StrCat("read index ", digest.str()));
    if (!best_.has_value()) {
      return absl::NotFoundError(absl::StrCat("read index ", digest.str(), ": no image for ",
                                              PlatformName(wanted_), ", it has ",
                                              seen_.empty() ? "none" : absl::StrJoin(seen_, ", ")));
    }
    ASSIGN_OR_RETURN(const std::string bytes, GetDocument(*best_));
    RETURN_IF_ERROR(AddManifest(best_->digest, bytes, best_->media_type));
    return std::move(plan_);
  }

 private:
  absl::StatusOr<bool> IsIndex(const registry::ManifestBody& body) {
    if (IsIndexType(body.media_type)) return true;
    if (IsManifestType(body.media_type)) return false;
    if (absl::StartsWith(body.media_type, "application/vnd.docker.distribution.manifest.v1+")) {
      return absl::UnimplementedError(
          "a schema 1 manifest, which is not supported; push the image again with a newer tool");
    }
    if (!IsVague(body.media_type)) {
      return absl::InvalidArgumentError(absl::StrCat("media type \"",
                                                     body.media_type.substr(0, 100),
                                                     "\" is neither a manifest's nor an index's"));
    }
    // What is right of the two says so by its fields.
    const absl::StatusOr<Index> index = ParseIndex(body.bytes, "");
    if (index.ok()) return true;
    return false;
  }

  absl::StatusOr<std::string> GetDocument(const Descriptor& d) {
    if (++documents_ > kMaxIndexes) {
      return absl::InvalidArgumentError(absl::StrCat("more than ", kMaxIndexes, " documents"));
    }
    ASSIGN_OR_RETURN(registry::ManifestBody body, fetcher_->GetManifest(d.digest.str()));
    RETURN_IF_ERROR(
        Verify(absl::StrCat("read manifest ", d.digest.str()), body.bytes, d.digest, d.size));
    return std::move(body.bytes);
  }

  absl::Status AddIndex(const std::string& bytes, const std::string& media_type, int depth) {
    if (depth > kMaxIndexDepth) {
      return absl::InvalidArgumentError(
          absl::StrCat("indexes nested deeper than ", kMaxIndexDepth));
    }
    ASSIGN_OR_RETURN(const Index index, ParseIndex(bytes, media_type));
    for (const Descriptor& d : index.manifests) {
      if (IsManifestType(d.media_type)) {
        Consider(d);
      } else if (IsIndexType(d.media_type)) {
        // The platform beside a nested index spares the fetching of those for others.
        if (d.platform.has_value() && PlatformRank(*d.platform, wanted_) == 0) continue;
        ASSIGN_OR_RETURN(const std::string inner, GetDocument(d));
        RETURN_IF_ERROR(AddIndex(inner, d.media_type, depth + 1));
      }
    }
    return absl::OkStatus();
  }

  void Consider(const Descriptor& d) {
    // One without a platform is taken when nothing fits better; its config tells the truth.
    const Platform platform = d.platform.value_or(Platform{});
    if (d.platform.has_value()) seen_.insert(PlatformName(platform));
    const int rank = PlatformRank(platform, wanted_);
    if (rank <= best_rank_) return;
    best_rank_ = rank;
    best_ = d;
  }

  absl::Status AddManifest(const Digest& digest, const std::string& bytes,
                           const std::string& media_type) {
    const std::string what = absl::StrCat("read manifest ", digest.str());
    ASSIGN_OR_RETURN_CTX(const Manifest manifest, ParseManifest(bytes, media_type), what);
    image_.set_manifest_digest(digest.str());
    image_.set_config_digest(manifest.config.digest.str());
    std::vector<LayerSource> sources;
    for (const Descriptor& layer : manifest.layers) {
      RETURN_IF_ERROR_CTX(CheckLayerType(layer.media_type),
                          absl::StrCat(what, ": layer ", layer.digest.str()));
      sources.push_back(
          {absl::StrCat("blob ", layer.digest.str()), layer.digest, layer.media_type, layer.size});
    }
    ASSIGN_OR_RETURN(const ConfigDocument config, ReadConfig(manifest.config));
    absl::Status added = AddImage(image_, config, std::move(sources), &plan_, wanted_);
    return added;
  }

  absl::StatusOr<ConfigDocument> ReadConfig(const Descriptor& d) {
    const std::string what = absl::StrCat("read image config ", d.digest.str());
    if (d.media_type != "application/vnd.oci.image.config.v1+json" &&
        d.media_type != "application/vnd.docker.container.image.v1+json") {
      return absl::InvalidArgumentError(absl::StrCat(
          what, ": mediaType \"", d.media_type.substr(0, 100), "\" is not an image's"));
    }
    if (d.size > kMaxConfigBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, ": ", d.size, " bytes, at most ", kMaxConfigBytes));
    }
    ASSIGN_OR_RETURN_CTX(const std::string text, fetcher_->GetBlob(d.digest, d.size), what);
    RETURN_IF_ERROR(Verify(what, text, d.digest, d.size));
    absl::StatusOr<ConfigDocument> config = ParseConfig(text);
    if (!config.ok()) return Annotate(config.status(), what);
    return config;
  }

  const PullRequest& request_;
  BlobFetcher* const fetcher_;
  Platform wanted_;
  PlannedImage image_;
  Plan plan_;
  std::optional<Descriptor> best_;
  int best_rank_ = 0;
  std::set<std::string> seen_;
  int documents_ = 0;
};

}  // namespace

absl::StatusOr<Plan> ResolveImage(const PullRequest& request, BlobFetcher* fetcher) {
  return Resolver(request, fetcher).Resolve();
}

}  // namespace berth::worker
