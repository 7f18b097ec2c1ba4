// Layer decompression: gzip (ISA-L, any number of members), zstd (any number of frames), plain.
// Not thread-safe: one thread, one stream.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "image/worker/byte_source.h"

namespace berth::worker {

enum class Compression { kNone, kGzip, kZstd };

const char* CompressionName(Compression compression);

// By magic number; fewer than four bytes are plain.
Compression SniffCompression(absl::string_view head);

// A stream that knows what it is after its first bytes. `inner` is not owned.
class Decompressor : public ByteSource {
 public:
  // Reads the first bytes of `inner`.
  static absl::StatusOr<std::unique_ptr<Decompressor>> Open(ByteSource* inner);
  ~Decompressor() override = default;

  // InvalidArgument when the stream is broken, ends early or has bytes after its end.
  absl::StatusOr<absl::string_view> Next() override = 0;
  virtual Compression compression() const = 0;
};

}  // namespace berth::worker
