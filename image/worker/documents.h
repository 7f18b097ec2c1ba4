// The JSON documents of the two archive forms, parsed into values. Sources: OCI image-spec 1.1
// (image-layout.md, image-index.md, manifest.md, config.md); the docker-archive's manifest.json as
// `docker save` writes it. Thread-safe: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "image_worker.pb.h"

namespace berth::worker {

struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;
};
std::string PlatformName(const Platform& platform);  // "linux/arm64/v8"

struct Descriptor {
  std::string media_type;
  Digest digest;
  uint64_t size = 0;
  std::optional<Platform> platform;
  std::string image_name;  // annotation io.containerd.image.name
  std::string ref_name;    // annotation org.opencontainers.image.ref.name
};

struct Index {
  std::vector<Descriptor> manifests;
};

struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;
};

struct ConfigDocument {
  ImageConfig config;
  std::vector<Digest> diff_ids;
};

struct DockerImage {
  std::string config;
  std::vector<std::string> repo_tags;
  std::vector<std::string> layers;
};

bool IsIndexType(absl::string_view media_type);
bool IsManifestType(absl::string_view media_type);

// `media_type`: what the descriptor said, "" for index.json itself; a mediaType inside must be
// equal. A document with both manifests and layers is refused (CVE-2021-41190).
absl::StatusOr<Index> ParseIndex(absl::string_view text, absl::string_view media_type);
absl::StatusOr<Manifest> ParseManifest(absl::string_view text, absl::string_view media_type);
absl::StatusOr<ConfigDocument> ParseConfig(absl::string_view text);
absl::StatusOr<std::vector<DockerImage>> ParseDockerManifest(absl::string_view text);
// oci-layout: its imageLayoutVersion must be 1.x.
absl::Status CheckLayoutVersion(absl::string_view text);

}  // namespace berth::worker
