// Image archives made in memory for tests: layers as tar bytes, docker-archives and OCI layouts
// around them, and knobs to break them. Nothing here is for production. Pure functions;
// thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace berth::test {

struct TarEntry {
  std::string path;
  char type =
      '0';  // '0' file, '1' hard link, '2' symbolic link, '3' char, '4' block, '5' dir, '6' FIFO
  std::string content = "";
  mode_t mode = 0644;
  std::string link = "";
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs = {};  // as PAX SCHILY.xattr.*
  std::vector<std::pair<std::string, std::string>> pax = {};     // other PAX records
};

TarEntry Dir(const std::string& path, mode_t mode = 0755);
TarEntry File(const std::string& path, const std::string& content, mode_t mode = 0644);
TarEntry Symlink(const std::string& path, const std::string& target);
TarEntry Hardlink(const std::string& path, const std::string& target);

// USTAR with PAX headers where an entry needs them (xattrs, pax, path or link over 100 bytes, ids
// over 7 octal digits). Names are written as they are, "../x" and "/x" included.
std::string MakeTar(const std::vector<TarEntry>& entries, bool end_blocks = true);

std::string Gzip(absl::string_view bytes);
std::string Zstd(absl::string_view bytes);
std::string Sha256Hex(absl::string_view bytes);
inline std::string DigestOf(absl::string_view bytes) { return "sha256:" + Sha256Hex(bytes); }

struct TestImage {
  std::vector<std::string> names;   // "repo:tag"; in an OCI layout, one index entry each
  std::vector<std::string> layers;  // tars, base first
  std::string config = "{}";        // JSON of the config's member "config"
  std::string architecture = "";    // "" = this machine's
};

// One way to be broken.
enum class Break {
  kNothing,
  kConfigBytes,    // the config is not what its name or digest says
  kDiffId,         // the config names another diffID than the layer has
  kLayerBytes,     // a bit of the first layer's blob is flipped
  kLayerSize,      // OCI: the manifest says another size for the first layer
  kMissingLayer,   // the first layer's blob is not in the archive
  kManifestBytes,  // OCI: the manifest's bytes do not have its digest; docker: it is no JSON
  kTruncated,      // the archive ends in the middle
};

std::string DockerArchive(const std::vector<TestImage>& images, Break how = Break::kNothing);
// Gzipped layers, `oci-layout`, index.json with a ref.name for each name.
std::string OciLayout(const std::vector<TestImage>& images, Break how = Break::kNothing);

// The config that DockerArchive and OciLayout write for it.
std::string ImageConfigJson(const TestImage& image);
// What DockerArchive and OciLayout give the image as id: the digest of its config.
std::string ImageId(const TestImage& image);

}  // namespace berth::test
