#include "image/worker/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace berth::worker {
namespace {

constexpr size_t kMaxNameInMessage = 256;

}  // namespace

ssize_t TarReader::OnRead(archive* /*a*/, void* self, const void** buffer) {
  auto* reader = static_cast<TarReader*>(self);
  absl::StatusOr<absl::string_view> chunk = reader->source_->Next();
  if (!chunk.ok()) {
    reader->source_error_ = chunk.status();
    return -1;
  }
  reader->call_bytes_ += chunk->size();
  if (!reader->skipping_ && reader->call_bytes_ > kMaxHeaderBytes + kChunkBytes) {
    reader->source_error_ = absl::InvalidArgumentError(
        absl::StrCat("read tar header after entry \"", reader->last_name_, "\": more than ",
                     kMaxHeaderBytes, " bytes of headers"));
    return -1;
  }
  *buffer = chunk->data();
  return static_cast<ssize_t>(chunk->size());
}

int64_t TarReader::OnSkip(archive* /*a*/, void* self, int64_t count) {
  return static_cast<TarReader*>(self)->source_->Skip(count);
}

absl::Status TarReader::Open() {
  archive_ = {archive_read_new(), archive_read_free};
  if (archive_ == nullptr) return absl::ResourceExhaustedError("read tar: out of memory");
  archive* a = archive_.get();
  if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
      archive_read_support_format_empty(a) != ARCHIVE_OK) {
    return Broken("read tar");
  }
  if (archive_read_open2(a, this, nullptr, OnRead, OnSkip, nullptr) != ARCHIVE_OK) {
    return Broken("read tar");
  }
  return absl::OkStatus();
}

absl::Status TarReader::Broken(absl::string_view what) const {
  if (!source_error_.ok()) return source_error_;
  const char* text = archive_error_string(archive_.get());
  return absl::InvalidArgumentError(absl::StrCat(what, last_name_.empty() ? "" : " after entry \"",
                                                 last_name_, last_name_.empty() ? "" : "\"", ": ",
                                                 text == nullptr ? "broken" : text));
}

absl::StatusOr<archive_entry*> TarReader::Next() {
  if (archive_ == nullptr) RETURN_IF_ERROR(Open());
  if (!last_name_.empty()) {
    skipping_ = true;
    const int skipped = archive_read_data_skip(archive_.get());
    skipping_ = false;
    // EOF: the data was read to its end.
    if (skipped != ARCHIVE_OK && skipped != ARCHIVE_EOF) return Broken("read tar data");
  }
  call_bytes_ = 0;
  archive_entry* entry = nullptr;
  const int result = archive_read_next_header(archive_.get(), &entry);
  if (result == ARCHIVE_EOF) return nullptr;
  // A bad header checksum is ARCHIVE_RETRY (-10), greater than WARN (-20), with no name: only OK is
  // an entry, and the one warning that the C locale makes of every non-ASCII pax name, which comes
  // as it is. Other warnings mean that a malformed pax record was skipped (libarchive 3.6.2).
  const bool unconverted = result == ARCHIVE_WARN && archive_errno(archive_.get()) == EILSEQ;
  if (result != ARCHIVE_OK && !unconverted) return Broken("read tar header");
  const char* name = archive_entry_pathname(entry);
  if (name == nullptr) return Broken("read tar header");
  last_name_ = std::string(absl::string_view(name).substr(0, kMaxNameInMessage));
  return entry;
}

uint64_t TarReader::header_position() const {
  return static_cast<uint64_t>(archive_read_header_position(archive_.get()));
}

absl::StatusOr<TarReader::Block> TarReader::ReadBlock() {
  const void* data = nullptr;
  size_t size = 0;
  int64_t offset = 0;
  for (;;) {
    call_bytes_ = 0;
    const int result = archive_read_data_block(archive_.get(), &data, &size, &offset);
    if (result == ARCHIVE_EOF) return Block{};
    if (result != ARCHIVE_OK) {
      RETURN_IF_ERROR(source_error_);
      const char* text = archive_error_string(archive_.get());
      return absl::InvalidArgumentError(
          absl::StrCat("read tar entry \"", last_name_, "\": ", text == nullptr ? "broken" : text));
    }
    if (size == 0) continue;
    if (offset < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("read tar entry \"", last_name_, "\": negative offset"));
    }
    return Block{absl::string_view(static_cast<const char*>(data), size),
                 static_cast<uint64_t>(offset)};
  }
}

}  // namespace berth::worker
