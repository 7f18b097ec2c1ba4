#include "base/os/sysctl.h"

#include <fcntl.h>

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::os {

absl::StatusOr<std::string> SysctlPath(const std::string& name) {
  std::string path = name;
  const size_t first = path.find_first_of("./");
  if (first != std::string::npos && path[first] == '.') {
    for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
  }
  const std::vector<std::string> parts = absl::StrSplit(path, '/');
  const bool is_name = std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
    return !part.empty() && part != "." && part != ".." &&
           std::all_of(part.begin(), part.end(),
                       [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); });
  });
  if (!is_name) return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is no sysctl"));
  return path;
}

absl::Status WriteSysctl(const std::string& name, const std::string& value) {
  ASSIGN_OR_RETURN(const std::string path, SysctlPath(name));
  absl::Status written = WriteKernelFile(AT_FDCWD, absl::StrCat("/proc/sys/", path), value);
  if (written.ok()) return written;
  return WithCode(absl::StatusCode::kInvalidArgument, written,
                  absl::StrCat("set sysctl ", name, "=", value));
}

}  // namespace berth::os
