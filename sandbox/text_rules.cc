#include "sandbox/text_rules.h"

#include <algorithm>

#include "absl/strings/str_split.h"

namespace berth::sandbox {

bool HasControlByte(absl::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

bool IsCleanRelativePath(absl::string_view path) {
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return !HasControlByte(path);
}

bool IsCleanAbsolutePath(absl::string_view path) {
  if (path.empty() || path[0] != '/') return false;
  return path == "/" || IsCleanRelativePath(path.substr(1));
}

}  // namespace berth::sandbox
