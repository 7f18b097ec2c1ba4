// Streams of bytes, put one behind the other: file -> archive member -> hash -> inflate -> hash.
// Not thread-safe: one thread, one chain.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/worker/limits.h"
#include "image/worker/sha256.h"

namespace berth::worker {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // The next bytes, valid until the next call; empty at the end, and empty again after that.
  virtual absl::StatusOr<absl::string_view> Next() = 0;
  // Skips up to `count` bytes and says how many; 0: cannot, read them.
  virtual int64_t Skip(int64_t /*count*/) { return 0; }
};

// A regular file from an offset on, by pread: several may share one fd.
class FileSource : public ByteSource {
 public:
  FileSource(int fd, uint64_t offset, uint64_t file_size)
      : fd_(fd), offset_(offset), file_size_(file_size), buffer_(kChunkBytes, '\0') {}
  absl::StatusOr<absl::string_view> Next() override;
  int64_t Skip(int64_t count) override;

 private:
  const int fd_;
  uint64_t offset_;
  const uint64_t file_size_;
  std::string buffer_;
};

// Bytes in memory, in chunks of a given size.
class StringSource : public ByteSource {
 public:
  explicit StringSource(absl::string_view data, size_t chunk = kChunkBytes)
      : rest_(data), chunk_(chunk) {}
  absl::StatusOr<absl::string_view> Next() override;

 private:
  absl::string_view rest_;
  const size_t chunk_;
};

// Passes bytes on, hashes and counts them. ResourceExhausted, naming `what`, above `limit` bytes.
class HashingSource : public ByteSource {
 public:
  HashingSource(ByteSource* inner, uint64_t limit, std::string what)
      : inner_(inner), limit_(limit), what_(std::move(what)) {}
  absl::StatusOr<absl::string_view> Next() override;

  uint64_t bytes() const { return bytes_; }
  // Reads to the end, then the digest of everything. Call once.
  absl::StatusOr<Digest> Finish();

 private:
  ByteSource* const inner_;
  const uint64_t limit_;
  const std::string what_;
  Sha256 hash_;
  uint64_t bytes_ = 0;
};

}  // namespace berth::worker
