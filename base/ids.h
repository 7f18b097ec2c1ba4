// Strong identifiers: 64 lower-case hex digits, made only by a parser or from getrandom(2).
// Value types; thread-safe.
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth {

// True for exactly 64 characters of [0-9a-f].
bool IsHexId(absl::string_view text);
std::string NewHexId();

template <typename Tag>
class HexId {
 public:
  static absl::StatusOr<HexId> Parse(absl::string_view text) {
    if (!IsHexId(text)) {
      return absl::InvalidArgumentError("an id is 64 lower-case hex digits");
    }
    return HexId(std::string(text));
  }
  static HexId New() { return HexId(NewHexId()); }

  const std::string& str() const { return value_; }
  // The first 13 digits, for logs and people.
  std::string Short() const { return value_.substr(0, 13); }

  friend bool operator==(const HexId& a, const HexId& b) { return a.value_ == b.value_; }
  friend bool operator!=(const HexId& a, const HexId& b) { return a.value_ != b.value_; }
  friend bool operator<(const HexId& a, const HexId& b) { return a.value_ < b.value_; }
  template <typename H>
  friend H AbslHashValue(H h, const HexId& id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  explicit HexId(std::string value) : value_(std::move(value)) {}
  std::string value_;
};

using SandboxId = HexId<struct SandboxTag>;
using ContainerId = HexId<struct ContainerTag>;

// A content digest, "sha256:" + 64 hex digits (image-spec, descriptor.md, "Digests").
class Digest {
 public:
  static absl::StatusOr<Digest> Parse(absl::string_view text);
  // From the bare hex digits of a SHA-256.
  static absl::StatusOr<Digest> FromSha256Hex(absl::string_view hex);

  const std::string& str() const { return value_; }
  std::string hex() const { return value_.substr(7); }

  friend bool operator==(const Digest& a, const Digest& b) { return a.value_ == b.value_; }
  friend bool operator!=(const Digest& a, const Digest& b) { return a.value_ != b.value_; }
  friend bool operator<(const Digest& a, const Digest& b) { return a.value_ < b.value_; }
  template <typename H>
  friend H AbslHashValue(H h, const Digest& d) {
    return H::combine(std::move(h), d.value_);
  }

 private:
  explicit Digest(std::string value) : value_(std::move(value)) {}
  std::string value_;
};

}  // namespace berth
