// libarchive's tar reader over a ByteSource, with the rules that make its answers safe to use.
// Not thread-safe. The process must stay in the C locale: in a UTF-8 one libarchive rewrites names
// from NFD to NFC.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "image/worker/byte_source.h"

struct archive;
struct archive_entry;

namespace berth::worker {

class TarReader {
 public:
  // `source` is not owned.
  explicit TarReader(ByteSource* source) : source_(source) {}
  TarReader(const TarReader&) = delete;
  TarReader& operator=(const TarReader&) = delete;

  // The next header, nullptr at the end of the archive; valid until the next call. InvalidArgument
  // for a broken one; an error of the source comes back as it is.
  absl::StatusOr<archive_entry*> Next();

  // Where the header that Next gave begins in the source (extended headers included).
  uint64_t header_position() const;

  // A block of the current entry's data. `data` is empty at the end; holes are left out.
  struct Block {
    absl::string_view data;
    uint64_t offset = 0;
  };
  absl::StatusOr<Block> ReadBlock();

 private:
  absl::Status Open();
  absl::Status Broken(absl::string_view what) const;
  static ssize_t OnRead(archive* a, void* self, const void** buffer);
  static int64_t OnSkip(archive* a, void* self, int64_t count);

  ByteSource* const source_;
  std::unique_ptr<archive, int (*)(archive*)> archive_{nullptr, nullptr};
  absl::Status source_error_;
  size_t call_bytes_ = 0;  // read during the current call into libarchive
  bool skipping_ = false;  // then any number is fine
  std::string last_name_;
};

}  // namespace berth::worker
