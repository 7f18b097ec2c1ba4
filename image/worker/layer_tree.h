// A layer's directory while it is filled: every path is resolved inside it and cannot leave it.
// A directory is reached by one openat2 when no symbolic link is on the way, else component by
// component with the links expanded here, so that its depth and its true path are always known.
// Not thread-safe: one thread, one tree, and nobody else writes below it.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/os/unique_fd.h"

namespace berth::worker {

// An entry's path taken apart: "", "." and leading slashes dropped. InvalidArgument for "..", an
// oversized name or component, or more than kMaxTreeDepth of them. Empty: the layer's root.
absl::StatusOr<std::vector<std::string>> SplitEntryPath(absl::string_view path);

class LayerTree {
 public:
  // `root_fd`: the layer's directory, not owned.
  explicit LayerTree(int root_fd) : root_fd_(root_fd) {}

  enum class Missing { kMake, kRefuse };
  struct Directory {
    int fd = -1;              // O_PATH; valid until the next call
    const std::string* path;  // without links, "" for the root; valid until the next call
  };
  // The directory `parts` (the first `count` of them). kMake: missing ones are made with mode 0755;
  // a whiteout on the way becomes an opaque directory, as what comes later replaces it.
  absl::StatusOr<Directory> OpenDirectory(const std::vector<std::string>& parts, size_t count,
                                          Missing missing);

  // Removes what is at `name`, with everything below it. Absent is success.
  absl::Status Remove(int dir_fd, const std::string& name);

  // Directories that this tree made opaque on its way; see OpenDirectory.
  const std::vector<std::string>& opaque() const { return opaque_; }
  // Directories made because an entry came without its parents.
  uint64_t made() const { return made_; }

 private:
  struct Walk;
  absl::Status WalkTo(const std::vector<std::string>& parts, size_t count, Missing missing);
  absl::Status Step(const std::string& part, Missing missing, Walk* walk);
  absl::Status Expand(int dir_fd, const std::string& part, Walk* walk);
  absl::Status MakeMissing(int dir_fd, const std::string& part, const Walk& walk);

  const int root_fd_;
  os::UniqueFd cached_;
  std::string cached_request_;  // the joined parts that led to cached_
  std::string cached_path_;
  bool has_cached_ = false;
  std::vector<std::string> opaque_;
  size_t opaque_bytes_ = 0;
  uint64_t made_ = 0;
  uint64_t steps_ = 0;
};

// True for overlay's whiteout, a character device 0:0.
bool IsWhiteout(const struct stat& st);

}  // namespace berth::worker
