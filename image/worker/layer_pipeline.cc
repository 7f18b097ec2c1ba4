#include "image/worker/layer_pipeline.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "image/worker/decompress.h"
#include "image/worker/layer_unpacker.h"
#include "image/worker/tar_reader.h"

namespace berth::worker {
namespace {

// What a layer's mediaType promises (image-spec layer.md; distribution's schema 2).
absl::StatusOr<Compression> PromisedCompression(const std::string& media_type) {
  for (const char* base : {"application/vnd.oci.image.layer.v1.tar",
                           "application/vnd.oci.image.layer.nondistributable.v1.tar",
                           "application/vnd.docker.image.rootfs.diff.tar",
                           "application/vnd.docker.image.rootfs.foreign.diff.tar"}) {
    if (!absl::StartsWith(media_type, base)) continue;
    const std::string suffix = media_type.substr(absl::string_view(base).size());
    if (suffix.empty()) return Compression::kNone;
    if (suffix == "+gzip" || suffix == ".gzip") return Compression::kGzip;
    if (suffix == "+zstd" || suffix == ".zstd") return Compression::kZstd;
  }
  return absl::UnimplementedError(absl::StrCat("mediaType \"", media_type, "\" is not supported"));
}

absl::Status CheckMediaType(const std::string& media_type, Compression found) {
  if (media_type.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Compression promised, PromisedCompression(media_type));
  if (promised == found) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("mediaType \"", media_type, "\", but its bytes are ", CompressionName(found)));
}

absl::Status CheckDigest(absl::string_view what, const Digest& expected, const Digest& found) {
  if (expected == found) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " does not match: expected ", expected.str(), ", found ", found.str()));
}

// Tells others how far a stream is.
class CountingSource : public ByteSource {
 public:
  CountingSource(ByteSource* inner, std::atomic<uint64_t>* counter)
      : inner_(inner), counter_(counter) {}
  absl::StatusOr<absl::string_view> Next() override {
    ASSIGN_OR_RETURN(const absl::string_view chunk, inner_->Next());
    if (counter_ != nullptr) counter_->fetch_add(chunk.size(), std::memory_order_relaxed);
    return chunk;
  }

 private:
  ByteSource* const inner_;
  std::atomic<uint64_t>* const counter_;
};

absl::StatusOr<LayerDone> Run(ByteSource* bytes, const Digest& diff_id, const LayerSource& source,
                              int root_fd, const LayerTarget& target) {
  HashingSource blob(bytes, source.size, "the blob");
  ASSIGN_OR_RETURN(const std::unique_ptr<Decompressor> plain, Decompressor::Open(&blob));
  RETURN_IF_ERROR(CheckMediaType(source.media_type, plain->compression()));
  CountingSource counted(plain.get(), target.unpacked);
  HashingSource diff(&counted, target.limits.max_layer_bytes, "the uncompressed layer");
  TarReader tar(&diff);
  LayerUnpacker unpacker(root_fd, target.limits, target.stop);
  RETURN_IF_ERROR(unpacker.Unpack(&tar));
  // What follows the tar's end counts for both digests, and nothing more may follow the blob's.
  ASSIGN_OR_RETURN(const Digest diff_found, diff.Finish());
  ASSIGN_OR_RETURN(const Digest blob_found, blob.Finish());
  if (source.blob.has_value()) {
    RETURN_IF_ERROR(CheckDigest("the blob's digest", *source.blob, blob_found));
  }
  RETURN_IF_ERROR(CheckDigest("the diffID", diff_id, diff_found));
  LayerDone done;
  ASSIGN_OR_RETURN(const std::vector<std::string> opaque, unpacker.OpaqueDirectories());
  for (const std::string& path : opaque) done.add_opaque_dirs(path);
  return done;
}

}  // namespace

absl::Status CheckLayerType(const std::string& media_type) {
  return PromisedCompression(media_type).status();
}

absl::StatusOr<LayerDone> UnpackLayer(ByteSource* blob, const Digest& diff_id,
                                      const LayerSource& source, const LayerTarget& target) {
  const int staging_fd = target.staging_fd;
  const std::string& name = target.name;
  const std::string what = absl::StrCat("unpack layer ", diff_id.str(), " (", source.member, ")");
  if (mkdirat(staging_fd, name.c_str(), 0755) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat(what, ": make staging directory"));
  }
  ASSIGN_OR_RETURN_CTX(const os::UniqueFd root,
                       os::OpenAt(staging_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), what);
  ASSIGN_OR_RETURN_CTX(LayerDone done, Run(blob, diff_id, source, root.get(), target), what);
  ASSIGN_OR_RETURN_CTX(const os::TreeUsage usage, os::MeasureTree(staging_fd, name), what);
  done.set_diff_id(diff_id.str());
  done.set_directory(name);
  done.set_bytes(usage.bytes);
  done.set_inodes(usage.inodes);
  return done;
}

}  // namespace berth::worker
