// One layer's tar into a directory in overlay form: ".wh.NAME" becomes a character device 0:0
// called NAME, ".wh..wh..opq" is reported as an opaque directory (trusted.* xattrs need
// CAP_SYS_ADMIN, which this process has given away). Not thread-safe: one thread, one layer.
#pragma once

#include <atomic>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "image/worker/layer_tree.h"
#include "image/worker/limits.h"
#include "image/worker/tar_reader.h"

namespace berth::worker {

class LayerUnpacker {
 public:
  // `root_fd`: an empty directory, not owned. `stop`: set by others when the work is in vain.
  LayerUnpacker(int root_fd, const Limits& limits, const std::atomic<bool>* stop)
      : root_fd_(root_fd), limits_(limits), stop_(stop), tree_(root_fd) {}

  // Unpacks every entry, then sets the directories' times. InvalidArgument names the entry that
  // would leave the root or cannot be; the directory is then garbage for the caller to remove.
  absl::Status Unpack(TarReader* tar);

  // Relative paths without links that still are directories, sorted; "." for the root.
  absl::StatusOr<std::vector<std::string>> OpaqueDirectories();

 private:
  struct Target {
    int dir_fd;
    const std::string& dir_path;
    const std::string& name;
  };
  absl::Status UnpackEntry(archive_entry* entry, TarReader* tar);
  absl::Status Make(archive_entry* entry, const Target& target, TarReader* tar);
  absl::Status Whiteout(const std::vector<std::string>& parts, absl::string_view hidden);
  absl::Status MarkOpaque(const std::string& path);
  absl::Status MakeRoot(archive_entry* entry);
  absl::Status MakeDirectory(archive_entry* entry, const Target& target);
  absl::Status MakeFile(archive_entry* entry, const Target& target, TarReader* tar);
  absl::Status WriteData(int fd, uint64_t size, TarReader* tar);
  absl::Status MakeSymlink(archive_entry* entry, const Target& target);
  absl::Status MakeHardlink(archive_entry* entry, const Target& target);
  absl::Status MakeNode(archive_entry* entry, const Target& target);
  absl::Status NoteDirectory(const std::string& path, const timespec& mtime);
  absl::Status SetDirectoryTimes();

  const int root_fd_;
  const Limits limits_;
  const std::atomic<bool>* const stop_;
  LayerTree tree_;
  uint64_t entries_ = 0;
  std::set<std::string> opaque_;
  size_t opaque_bytes_ = 0;
  std::vector<std::pair<std::string, timespec>> directories_;
  size_t directory_bytes_ = 0;
};

}  // namespace berth::worker
