#include "shim/front/pid_file.h"

#include <fcntl.h>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::shim::front {

absl::Status WritePidFile(const std::string& path, pid_t pid) {
  if (path.empty()) return absl::OkStatus();
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  ASSIGN_OR_RETURN_CTX(const os::UniqueFd dir, os::Open(parent, O_RDONLY | O_DIRECTORY),
                       "--pid-file");
  RETURN_IF_ERROR_CTX(os::WriteFileAtomic(dir.get(), path.substr(slash + 1), absl::StrCat(pid),
                                          0644, os::Durability::kProcessCrash),
                      "--pid-file");
  return absl::OkStatus();
}

}  // namespace berth::shim::front
