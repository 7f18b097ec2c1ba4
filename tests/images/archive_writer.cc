#include "tests/images/archive_writer.h"

#include <isa-l/igzip_lib.h>
#include <openssl/sha.h>
#include <sys/utsname.h>
#include <zstd.h>

#include <cstdlib>
#include <cstring>
#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace berth::test {
namespace {

constexpr size_t kBlock = 512;
constexpr uint32_t kMaxOctalId = 07777777;

void Pad(std::string* tar) { tar->resize((tar->size() + kBlock - 1) / kBlock * kBlock, '\0'); }

// POSIX pax: "<length> key=value\n", the length counting itself.
std::string PaxRecord(const std::string& key, const std::string& value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (rest + absl::StrCat(length).size() != length) ++length;
  return absl::StrCat(length, " ", key, "=", value, "\n");
}

void Put(std::string* header, size_t offset, size_t size, absl::string_view text) {
  memcpy(header->data() + offset, text.data(), std::min(size, text.size()));
}

std::string Header(const TarEntry& entry, size_t size) {
  std::string header(kBlock, '\0');
  Put(&header, 0, 100, entry.path);
  Put(&header, 100, 8, absl::StrFormat("%07o", entry.mode & 07777));
  Put(&header, 108, 8, absl::StrFormat("%07o", std::min(entry.uid, kMaxOctalId)));
  Put(&header, 116, 8, absl::StrFormat("%07o", std::min(entry.gid, kMaxOctalId)));
  Put(&header, 124, 12, absl::StrFormat("%011o", size));
  Put(&header, 136, 12, absl::StrFormat("%011o", entry.mtime));
  header[156] = entry.type;
  Put(&header, 157, 100, entry.link);
  Put(&header, 257, 8,
      absl::string_view("ustar\0"
                        "00",
                        8));
  Put(&header, 329, 8, absl::StrFormat("%07o", entry.major));
  Put(&header, 337, 8, absl::StrFormat("%07o", entry.minor));
  Put(&header, 148, 8, "        ");
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  Put(&header, 148, 8, absl::string_view(absl::StrFormat("%06o", sum) + std::string("\0 ", 2)));
  return header;
}

std::string PaxBody(const TarEntry& entry) {
  std::string body;
  if (entry.path.size() > 100) body += PaxRecord("path", entry.path);
  if (entry.link.size() > 100) body += PaxRecord("linkpath", entry.link);
  if (entry.uid > kMaxOctalId) body += PaxRecord("uid", absl::StrCat(entry.uid));
  if (entry.gid > kMaxOctalId) body += PaxRecord("gid", absl::StrCat(entry.gid));
  for (const auto& [name, value] : entry.xattrs) {
    body += PaxRecord(absl::StrCat("SCHILY.xattr.", name), value);
  }
  for (const auto& [key, value] : entry.pax) body += PaxRecord(key, value);
  return body;
}

void Append(std::string* tar, const TarEntry& entry) {
  if (const std::string body = PaxBody(entry); !body.empty()) {
    *tar += Header(TarEntry{"PaxHeaders/entry", 'x'}, body.size()) + body;
    Pad(tar);
  }
  *tar += Header(entry, entry.content.size()) + entry.content;
  Pad(tar);
}

std::string JsonString(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string JsonArray(const std::vector<std::string>& items) {
  return absl::StrCat(
      "[",
      absl::StrJoin(items, ",",
                    [](std::string* out, const std::string& s) { out->append(JsonString(s)); }),
      "]");
}

std::string Architecture(const TestImage& image) {
  if (!image.architecture.empty()) return image.architecture;
  struct utsname names;
  if (uname(&names) != 0) abort();
  const std::string machine = names.machine;
  return machine == "x86_64" ? "amd64" : machine == "aarch64" ? "arm64" : machine;
}

std::string ConfigJson(const TestImage& image, Break how) {
  std::vector<std::string> diff_ids;
  for (const std::string& layer : image.layers) diff_ids.push_back(DigestOf(layer));
  if (how == Break::kDiffId && !diff_ids.empty()) diff_ids[0] = DigestOf("another");
  return absl::StrCat("{\"architecture\":", JsonString(Architecture(image)),
                      ",\"os\":\"linux\",\"config\":", image.config,
                      ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":", JsonArray(diff_ids), "}}");
}

void FlipABit(std::string* bytes) { (*bytes)[bytes->size() / 2] ^= 1; }

// Members of the outer archive by name, so that shared blobs are there once.
std::string Pack(const std::map<std::string, std::string>& members, Break how) {
  std::vector<TarEntry> entries;
  entries.reserve(members.size());
  for (const auto& [path, content] : members) entries.push_back(File(path, content));
  std::string tar = MakeTar(entries);
  if (how == Break::kTruncated) tar.resize(tar.size() / 2);
  return tar;
}

// The bytes of a layer's blob that are in the archive, which are not those that digests were made
// of.
void PutLayer(std::map<std::string, std::string>* members, const std::string& path,
              std::string bytes, bool first, Break how) {
  if (first && how == Break::kMissingLayer) return;
  if (first && how == Break::kLayerBytes) FlipABit(&bytes);
  members->emplace(path, std::move(bytes));
}

std::string Descriptor(absl::string_view media_type, const std::string& bytes, size_t size,
                       absl::string_view more = "") {
  return absl::StrCat("{\"mediaType\":\"application/vnd.oci.image.", media_type, "\",\"digest\":\"",
                      DigestOf(bytes), "\",\"size\":", size, more, "}");
}

std::string BlobPath(const std::string& bytes) {
  return absl::StrCat("blobs/sha256/", Sha256Hex(bytes));
}

}  // namespace

TarEntry Dir(const std::string& path, mode_t mode) { return TarEntry{path, '5', "", mode}; }

TarEntry File(const std::string& path, const std::string& content, mode_t mode) {
  return TarEntry{path, '0', content, mode};
}

TarEntry Symlink(const std::string& path, const std::string& target) {
  return TarEntry{path, '2', "", 0777, target};
}

TarEntry Hardlink(const std::string& path, const std::string& target) {
  return TarEntry{path, '1', "", 0644, target};
}

std::string MakeTar(const std::vector<TarEntry>& entries, bool end_blocks) {
  std::string tar;
  for (const TarEntry& entry : entries) Append(&tar, entry);
  if (end_blocks) tar.append(2 * kBlock, '\0');
  return tar;
}

std::string Gzip(absl::string_view bytes) {
  std::string out(bytes.size() + bytes.size() / 8 + 1024, '\0');
  isal_zstream stream;
  isal_deflate_stateless_init(&stream);
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uint32_t>(bytes.size());
  stream.next_out = reinterpret_cast<uint8_t*>(out.data());
  stream.avail_out = static_cast<uint32_t>(out.size());
  if (isal_deflate_stateless(&stream) != COMP_OK) abort();
  out.resize(stream.total_out);
  return out;
}

std::string Zstd(absl::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 1);
  if (ZSTD_isError(size) != 0) abort();
  out.resize(size);
  return out;
}

std::string Sha256Hex(absl::string_view bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof digest));
}

std::string ImageConfigJson(const TestImage& image) { return ConfigJson(image, Break::kNothing); }

std::string ImageId(const TestImage& image) { return DigestOf(ConfigJson(image, Break::kNothing)); }

std::string DockerArchive(const std::vector<TestImage>& images, Break how) {
  std::map<std::string, std::string> members;
  std::vector<std::string> entries;
  for (const TestImage& image : images) {
    std::string config = ConfigJson(image, how);
    const std::string config_path = Sha256Hex(config) + ".json";
    if (how == Break::kConfigBytes) config += " ";
    std::vector<std::string> layer_paths;
    for (const std::string& layer : image.layers) {
      layer_paths.push_back(Sha256Hex(layer) + ".tar");
      PutLayer(&members, layer_paths.back(), layer, layer_paths.size() == 1, how);
    }
    members.emplace(config_path, config);
    entries.push_back(absl::StrCat("{\"Config\":", JsonString(config_path),
                                   ",\"RepoTags\":", JsonArray(image.names),
                                   ",\"Layers\":", JsonArray(layer_paths), "}"));
  }
  std::string manifest = absl::StrCat("[", absl::StrJoin(entries, ","), "]");
  if (how == Break::kManifestBytes) manifest.pop_back();
  members["manifest.json"] = manifest;
  return Pack(members, how);
}

std::string OciLayout(const std::vector<TestImage>& images, Break how) {
  std::map<std::string, std::string> members;
  std::vector<std::string> entries;
  for (const TestImage& image : images) {
    const std::string config = ConfigJson(image, how);
    std::vector<std::string> layers;
    for (const std::string& layer : image.layers) {
      const std::string blob = Gzip(layer);
      const bool first = layers.empty();
      const size_t size = blob.size() + (first && how == Break::kLayerSize ? 1 : 0);
      layers.push_back(Descriptor("layer.v1.tar+gzip", blob, size));
      PutLayer(&members, BlobPath(blob), blob, first, how);
    }
    members[BlobPath(config)] = config + (how == Break::kConfigBytes ? " " : "");
    const std::string manifest = absl::StrCat(
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
        "\"config\":",
        Descriptor("config.v1+json", config, config.size()), ",\"layers\":[",
        absl::StrJoin(layers, ","), "]}");
    members[BlobPath(manifest)] = manifest + (how == Break::kManifestBytes ? " " : "");
    const std::vector<std::string> names =
        image.names.empty() ? std::vector<std::string>{""} : image.names;
    for (const std::string& name : names) {
      const std::string annotation =
          name.empty() ? ""
                       : absl::StrCat(",\"annotations\":{\"org.opencontainers.image.ref.name\":",
                                      JsonString(name), "}");
      entries.push_back(Descriptor("manifest.v1+json", manifest, manifest.size(), annotation));
    }
  }
  members["index.json"] = absl::StrCat(
      "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
      "\"manifests\":[",
      absl::StrJoin(entries, ","), "]}");
  members["oci-layout"] = "{\"imageLayoutVersion\":\"1.0.0\"}";
  return Pack(members, how);
}

}  // namespace berth::test
