#include "base/ids.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace berth {

bool IsHexId(absl::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string NewHexId() {
  char bytes[32];
  // 32 bytes never come back short once the pool is initialised (random(7)).
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) abort();
  return absl::BytesToHexString(absl::string_view(bytes, sizeof bytes));
}

absl::StatusOr<Digest> Digest::Parse(absl::string_view text) {
  if (!absl::StartsWith(text, "sha256:") || !IsHexId(text.substr(7))) {
    return absl::InvalidArgumentError("a digest is sha256: and 64 lower-case hex digits");
  }
  return Digest(std::string(text));
}

absl::StatusOr<Digest> Digest::FromSha256Hex(absl::string_view hex) {
  return Parse(absl::StrCat("sha256:", hex));
}

}  // namespace berth
