// LayerView: finds files in a stack of unpacked layers as overlayfs would show them, without a
// mount. Immutable after Open; thread-safe. Overlay rules: kernel
// Documentation/filesystems/overlayfs.rst.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/os/unique_fd.h"

namespace berth::image {

class LayerView {
 public:
  // `lowers`: absolute directories, topmost first.
  static absl::StatusOr<LayerView> Open(const std::vector<std::string>& lowers);

  // The file at `path` as an O_PATH fd, symbolic links followed inside the view; an invalid fd when
  // there is none. InvalidArgument when more than 8 links or 256 directories are in the way.
  absl::StatusOr<os::UniqueFd> Find(const std::string& path) const;

 private:
  // One directory of the merged view: what each layer has of it, topmost first.
  using MergedDir = std::vector<os::UniqueFd>;

  absl::Status Descend(const std::string& name, MergedDir* dir, os::UniqueFd* found) const;
  absl::StatusOr<MergedDir> Root() const;

  std::vector<os::UniqueFd> roots_;
};

// True when the directory hides what lower layers have at its place.
absl::StatusOr<bool> IsOpaque(int dir_fd);

}  // namespace berth::image
