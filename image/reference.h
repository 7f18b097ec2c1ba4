// Reference: an image's name as people write it, parsed and normalised the way containerd and the
// distribution project do: "busybox" is docker.io/library/busybox:latest.
// Value type; thread-safe. Grammar: distribution, reference/reference.go (facts only).
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::image {

// The parts of [domain/]path[:tag][@digest]. Made only by ParseReference.
struct Reference {
  std::string domain;  // "docker.io", "localhost:5000", "[::1]:5000"
  std::string path;    // "library/busybox"
  std::string tag;     // "latest" is filled in when the text has neither tag nor digest
  std::string digest;  // "sha256:<hex>" or ""

  std::string Repository() const;  // "docker.io/library/busybox"
  // What an image is stored under: "repository@digest" when there is a digest (a tag beside it says
  // nothing more), else "repository:tag".
  std::string Canonical() const;
};

// InvalidArgument, naming the text and what is wrong with it. 64 hex digits alone are an image id
// and no name; a digest is sha256 only.
absl::StatusOr<Reference> ParseReference(absl::string_view text);

}  // namespace berth::image
