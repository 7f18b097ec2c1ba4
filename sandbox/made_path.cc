#include "sandbox/made_path.h"

#include <filesystem>
#include <system_error>

#include "base/os/errno_status.h"

namespace berth::sandbox {

namespace fs = std::filesystem;

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

std::string TopmostMissing(const std::string& path) {
  std::string missing;
  std::error_code error;
  for (std::string at = path; at != "/" && !at.empty(); at = ParentOf(at)) {
    if (fs::exists(fs::symlink_status(at, error))) break;
    missing = at;
  }
  return missing;
}

absl::Status RemoveMade(const std::string& leaf, const std::string& top) {
  if (top.empty()) return absl::OkStatus();
  std::error_code error;
  for (std::string at = leaf; at.size() >= top.size(); at = ParentOf(at)) {
    const fs::file_status status = fs::symlink_status(at, error);
    if (fs::is_regular_file(status) && fs::file_size(at, error) > 0) return absl::OkStatus();
    error.clear();
    (void)fs::remove(at, error);  // unlink or rmdir; what it did is of no interest, `error` is
    if (error.value() == ENOTEMPTY || error.value() == EEXIST) return absl::OkStatus();
    if (error && error.value() != ENOENT) return os::ErrnoStatus(error.value(), "remove " + at);
  }
  return absl::OkStatus();
}

}  // namespace berth::sandbox
