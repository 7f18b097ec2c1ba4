// Writes the archives that the worker's tests read: tar entries as hostile as a test wants them,
// and the two image forms around layers. Thread-safe: pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "image/worker/sha256.h"

namespace berth::worker::testing {

struct TarEntry {
  std::string name;
  char type =
      '0';  // ustar: 0 file, 1 hard link, 2 symbolic link, 3 chr, 4 blk, 5 directory, 6 fifo
  std::string content;
  std::string link;
  unsigned mode = 0644;
  uint64_t uid = 0;
  uint64_t gid = 0;
  int64_t mtime = 1'000'000'000;
  unsigned major = 0;
  unsigned minor = 0;
  std::map<std::string, std::string> pax;  // records before the header, as they are
  std::optional<uint64_t> size_in_header;  // when it lies
  bool bad_checksum = false;
};

TarEntry File(std::string name, std::string content, unsigned mode = 0644);
TarEntry Dir(std::string name, unsigned mode = 0755);
TarEntry Symlink(std::string name, std::string target);
TarEntry Hardlink(std::string name, std::string target);

// Names of more than 100 bytes go into a pax record.
std::string Tar(const std::vector<TarEntry>& entries, bool end_blocks = true);
std::string Gzip(const std::string& data);
std::string Zstd(const std::string& data);

// A layer with what an archive says about it; a test changes what it wants to be wrong.
struct LayerSpec {
  std::string blob;     // bytes in the archive
  std::string diff_id;  // of the uncompressed tar
  std::string media_type;
  std::string digest;  // of blob
};
LayerSpec PlainLayer(const std::string& tar);
LayerSpec GzipLayer(const std::string& tar);
LayerSpec ZstdLayer(const std::string& tar);

// {"architecture":..,"os":"linux","config":CONFIG,"rootfs":..} for this machine.
std::string ConfigJson(const std::vector<LayerSpec>& layers, const std::string& config = "{}",
                       const std::string& architecture = "");

// Blobs of an OCI layout, added one by one.
class OciLayout {
 public:
  // A descriptor's JSON; `extra` goes before its closing brace (",\"platform\":{..}").
  std::string AddBlob(const std::string& media_type, const std::string& bytes,
                      const std::string& extra = "");
  // Config, layers and manifest; the manifest's descriptor.
  std::string AddImage(const std::vector<LayerSpec>& layers, const std::string& config_json,
                       const std::string& extra = "");
  // The blob's bytes as another member; a digest that lies.
  void Corrupt(const std::string& digest, const std::string& bytes) { blobs_[digest] = bytes; }
  std::string Archive(const std::vector<std::string>& descriptors) const;

 private:
  std::map<std::string, std::string> blobs_;
};

// `name` as io.containerd.image.name.
std::string OciArchive(const std::vector<LayerSpec>& layers,
                       const std::string& name = "docker.io/library/test:1",
                       const std::string& config = "{}");

enum class DockerPaths { kLegacy, kBlobs };
std::string DockerArchive(const std::vector<LayerSpec>& layers, DockerPaths paths,
                          const std::string& tags = "[\"test:1\"]",
                          const std::string& config = "{}");

}  // namespace berth::worker::testing
