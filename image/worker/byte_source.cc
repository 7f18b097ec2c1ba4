#include "image/worker/byte_source.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"

namespace berth::worker {

absl::StatusOr<absl::string_view> FileSource::Next() {
  for (;;) {
    const ssize_t n = pread(fd_, buffer_.data(), buffer_.size(), static_cast<off_t>(offset_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os::ErrnoStatus(errno, "read archive");
    offset_ += static_cast<uint64_t>(n);
    return absl::string_view(buffer_.data(), static_cast<size_t>(n));
  }
}

int64_t FileSource::Skip(int64_t count) {
  if (count <= 0 || offset_ >= file_size_) return 0;
  const uint64_t step = std::min<uint64_t>(static_cast<uint64_t>(count), file_size_ - offset_);
  offset_ += step;
  return static_cast<int64_t>(step);
}

absl::StatusOr<absl::string_view> StringSource::Next() {
  const absl::string_view chunk = rest_.substr(0, chunk_);
  rest_.remove_prefix(chunk.size());
  return chunk;
}

absl::StatusOr<absl::string_view> HashingSource::Next() {
  ASSIGN_OR_RETURN(const absl::string_view chunk, inner_->Next());
  bytes_ += chunk.size();
  if (bytes_ > limit_) {
    return absl::ResourceExhaustedError(absl::StrCat(what_, " has more than ", limit_, " bytes"));
  }
  hash_.Update(chunk);
  return chunk;
}

absl::StatusOr<Digest> HashingSource::Finish() {
  for (;;) {
    ASSIGN_OR_RETURN(const absl::string_view chunk, Next());
    if (chunk.empty()) return hash_.Finish();
  }
}

}  // namespace berth::worker
