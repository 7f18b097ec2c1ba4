// ImportArchive: an archive that arrives in pieces, kept in a nameless file of the data directory
// until it is whole, then imported. A crash leaves nothing. One caller at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/os/unique_fd.h"
#include "image/image_store.h"

namespace berth::server {

class ImportArchive {
 public:
  ImportArchive(std::string data_dir, uint64_t limit_bytes)
      : data_dir_(std::move(data_dir)), limit_(limit_bytes) {}

  // ResourceExhausted: the archive exceeds the limit, or the disk is full.
  absl::Status Append(absl::string_view chunk);
  absl::StatusOr<std::vector<image::ImagePtr>> Import(image::ImageStore* images,
                                                      const image::ImportOptions& options);

 private:
  const std::string data_dir_;
  const uint64_t limit_;
  uint64_t size_ = 0;
  os::UniqueFd file_;  // made with the first bytes
};

}  // namespace berth::server
