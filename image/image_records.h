// Images and layers as stored records (proto/records.proto), and the worker's words as our types.
// Pure functions; thread-safe. Formats: docs/formats/records.md.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/store/store.h"
#include "image/image_store.h"
#include "image_worker.pb.h"
#include "records.pb.h"

namespace berth::image {

constexpr char kImageKind[] = "image";
constexpr char kLayerKind[] = "layer";
constexpr char kImportKind[] = "import";
constexpr uint32_t kRecordVersion = 1;  // of each of the three

// What is known about a layer on disk.
struct LayerFacts {
  uint64_t bytes = 0;
  uint64_t inodes = 0;
  bool opaque_root = false;
};

store::Record ToRecord(const Image& image);
// DataLoss: an unknown version or bytes that are no such record.
absl::StatusOr<Image> ImageFromRecord(const store::Record& record);

store::Record ToRecord(const Digest& layer, const LayerFacts& facts);
absl::StatusOr<std::pair<Digest, LayerFacts>> LayerFromRecord(const store::Record& record);

store::Record ToRecord(const std::string& file, const records::ImportRecord& import);
absl::StatusOr<records::ImportRecord> ImportFromRecord(const store::Record& record);

// InvalidArgument: an argument or variable with a NUL byte, which no process can be given.
absl::StatusOr<ImageConfig> ConfigFromWorker(const worker::ImageConfig& config);

}  // namespace berth::image
