#include "image/worker/testing/archive_writer.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "image/worker/plan.h"

namespace berth::worker::testing {
namespace {

constexpr char kManifestType[] = "application/vnd.oci.image.manifest.v1+json";
constexpr char kConfigType[] = "application/vnd.oci.image.config.v1+json";
constexpr char kLayerType[] = "application/vnd.oci.image.layer.v1.tar";

void Put(std::string* header, size_t at, size_t width, const std::string& text) {
  header->replace(at, std::min(width, text.size()), text.substr(0, width));
}

std::string Octal(uint64_t value, int digits) { return absl::StrFormat("%0*o", digits, value); }

std::string Padded(const std::string& data) {
  return data + std::string((512 - data.size() % 512) % 512, '\0');
}

std::string Header(const TarEntry& e, const std::string& name, uint64_t size) {
  std::string h(512, '\0');
  Put(&h, 0, 100, name);
  Put(&h, 100, 8, Octal(e.mode, 7));
  Put(&h, 108, 8, Octal(std::min<uint64_t>(e.uid, 07777777), 7));
  Put(&h, 116, 8, Octal(std::min<uint64_t>(e.gid, 07777777), 7));
  Put(&h, 124, 12, Octal(size, 11));
  Put(&h, 136, 12, Octal(static_cast<uint64_t>(e.mtime), 11));
  Put(&h, 148, 8, "        ");
  h[156] = e.type;
  Put(&h, 157, 100, e.link);
  Put(&h, 257, 8,
      std::string("ustar\0"
                  "00",
                  8));
  Put(&h, 329, 8, Octal(e.major, 7));
  Put(&h, 337, 8, Octal(e.minor, 7));
  unsigned sum = e.bad_checksum ? 1 : 0;
  for (const char c : h) sum += static_cast<unsigned char>(c);
  Put(&h, 148, 8, absl::StrCat(Octal(sum, 6), std::string("\0 ", 2)));
  return h;
}

// "LEN KEY=VALUE\n", where LEN counts its own digits.
std::string PaxRecord(const std::string& key, const std::string& value) {
  const std::string rest = absl::StrCat(" ", key, "=", value, "\n");
  size_t length = rest.size() + 1;
  while (absl::StrCat(length).size() + rest.size() != length) ++length;
  return absl::StrCat(length, rest);
}

LayerSpec Layer(const std::string& tar, std::string blob, const std::string& suffix) {
  LayerSpec layer;
  layer.diff_id = DigestOf(tar).str();
  layer.digest = DigestOf(blob).str();
  layer.blob = std::move(blob);
  layer.media_type = absl::StrCat(kLayerType, suffix);
  return layer;
}

}  // namespace

TarEntry File(std::string name, std::string content, unsigned mode) {
  TarEntry e{std::move(name)};
  e.content = std::move(content);
  e.mode = mode;
  return e;
}

TarEntry Dir(std::string name, unsigned mode) {
  TarEntry e{std::move(name), '5'};
  e.mode = mode;
  return e;
}

TarEntry Symlink(std::string name, std::string target) {
  TarEntry e{std::move(name), '2'};
  e.link = std::move(target);
  return e;
}

TarEntry Hardlink(std::string name, std::string target) {
  TarEntry e{std::move(name), '1'};
  e.link = std::move(target);
  return e;
}

std::string Tar(const std::vector<TarEntry>& entries, bool end_blocks) {
  std::string out;
  for (const TarEntry& e : entries) {
    std::map<std::string, std::string> pax = e.pax;
    if (e.name.size() > 100) pax.emplace("path", e.name);
    if (e.link.size() > 100) pax.emplace("linkpath", e.link);
    std::string records;
    for (const auto& [key, value] : pax) records += PaxRecord(key, value);
    if (!records.empty()) {
      out += Header(TarEntry{"pax", 'x'}, "pax", records.size()) + Padded(records);
    }
    out += Header(e, e.name, e.size_in_header.value_or(e.content.size()));
    out += Padded(e.content);
  }
  return end_blocks ? out + std::string(1024, '\0') : out;
}

std::string Gzip(const std::string& data) {
  std::string out(data.size() + data.size() / 8 + 4096, '\0');
  isal_zstream stream;
  isal_deflate_stateless_init(&stream);
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uint32_t>(data.size());
  stream.next_out = reinterpret_cast<uint8_t*>(out.data());
  stream.avail_out = static_cast<uint32_t>(out.size());
  if (isal_deflate_stateless(&stream) != COMP_OK) abort();
  out.resize(stream.total_out);
  return out;
}

std::string Zstd(const std::string& data) {
  std::string out(ZSTD_compressBound(data.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3);
  if (ZSTD_isError(size) != 0) abort();
  out.resize(size);
  return out;
}

LayerSpec PlainLayer(const std::string& tar) { return Layer(tar, tar, ""); }
LayerSpec GzipLayer(const std::string& tar) { return Layer(tar, Gzip(tar), "+gzip"); }
LayerSpec ZstdLayer(const std::string& tar) { return Layer(tar, Zstd(tar), "+zstd"); }

std::string ConfigJson(const std::vector<LayerSpec>& layers, const std::string& config,
                       const std::string& architecture) {
  std::vector<std::string> ids;
  for (const LayerSpec& layer : layers) ids.push_back(absl::StrCat("\"", layer.diff_id, "\""));
  return absl::StrCat(
      "{\"architecture\":\"", architecture.empty() ? HostPlatform().architecture : architecture,
      "\",\"os\":\"linux\",\"config\":", config, ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[",
      absl::StrJoin(ids, ","), "]}}");
}

std::string OciLayout::AddBlob(const std::string& media_type, const std::string& bytes,
                               const std::string& extra) {
  const std::string digest = DigestOf(bytes).str();
  blobs_[digest] = bytes;
  return absl::StrCat("{\"mediaType\":\"", media_type, "\",\"digest\":\"", digest,
                      "\",\"size\":", bytes.size(), extra, "}");
}

std::string OciLayout::AddImage(const std::vector<LayerSpec>& layers,
                                const std::string& config_json, const std::string& extra) {
  std::vector<std::string> descriptors;
  for (const LayerSpec& layer : layers) {
    blobs_[layer.digest] = layer.blob;
    descriptors.push_back(absl::StrCat("{\"mediaType\":\"", layer.media_type, "\",\"digest\":\"",
                                       layer.digest, "\",\"size\":", layer.blob.size(), "}"));
  }
  const std::string config = AddBlob(kConfigType, config_json);
  return AddBlob(
      kManifestType,
      absl::StrCat("{\"schemaVersion\":2,\"mediaType\":\"", kManifestType, "\",\"config\":", config,
                   ",\"layers\":[", absl::StrJoin(descriptors, ","), "]}"),
      extra);
}

std::string OciLayout::Archive(const std::vector<std::string>& descriptors) const {
  std::vector<TarEntry> entries = {File("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}"),
                                   Dir("blobs/"), Dir("blobs/sha256/")};
  for (const auto& [digest, bytes] : blobs_) {
    entries.push_back(File(absl::StrCat("blobs/sha256/", digest.substr(7)), bytes));
  }
  entries.push_back(File("index.json", absl::StrCat("{\"schemaVersion\":2,\"manifests\":[",
                                                    absl::StrJoin(descriptors, ","), "]}")));
  return Tar(entries);
}

std::string OciArchive(const std::vector<LayerSpec>& layers, const std::string& name,
                       const std::string& config) {
  OciLayout layout;
  return layout.Archive({layout.AddImage(
      layers, ConfigJson(layers, config),
      absl::StrCat(",\"annotations\":{\"io.containerd.image.name\":\"", name, "\"}"))});
}

std::string DockerArchive(const std::vector<LayerSpec>& layers, DockerPaths paths,
                          const std::string& tags, const std::string& config) {
  const std::string config_json = ConfigJson(layers, config);
  const std::string hex = DigestOf(config_json).hex();
  const bool legacy = paths == DockerPaths::kLegacy;
  const std::string config_path =
      legacy ? absl::StrCat(hex, ".json") : absl::StrCat("blobs/sha256/", hex);
  std::vector<TarEntry> entries = {File(config_path, config_json)};
  std::vector<std::string> names;
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string path = legacy ? absl::StrCat("layer", i, "/layer.tar")
                                    : absl::StrCat("blobs/sha256/", layers[i].digest.substr(7));
    entries.push_back(File(path, layers[i].blob));
    names.push_back(absl::StrCat("\"", path, "\""));
  }
  entries.push_back(
      File("manifest.json", absl::StrCat("[{\"Config\":\"", config_path, "\",\"RepoTags\":", tags,
                                         ",\"Layers\":[", absl::StrJoin(names, ","), "]}]")));
  return Tar(entries);
}

}  // namespace berth::worker::testing
