// Users and groups of an image, read through its layers (topmost first, honouring whiteouts and
// opaque directories) without mounting anything. /etc/passwd and /etc/group are bounded, regular
// files only, opened inside the layer's root.
// Thread-safe: pure functions over what is on disk.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace berth::image {

struct ResolvedUser {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // /etc/group memberships of the user, primary gid not repeated
  std::string home = "/";     // of passwd, "/" when there is none
  std::string name;           // "" for a number that passwd does not know
};

// A regular file's bytes as the overlay of `lowers` (absolute directories, topmost first) would
// show them; nullopt when absent. Symbolic links on the way are followed inside the merged view for
// the final component only as far as it is cheap: a link is resolved within the layers, at most 8
// deep. InvalidArgument: not a regular file, or larger than `limit`.
absl::StatusOr<std::optional<std::string>> ReadThroughLayers(const std::vector<std::string>& lowers,
                                                             const std::string& path,
                                                             size_t limit = 10 << 20);

// `user` is the OCI form: "", "name", "uid", "name:group", "uid:gid". All digits means a number,
// which must fit: out of range is InvalidArgument and never looked up as a name (CVE-2024-40635).
// Unknown names are InvalidArgument naming the user.
absl::StatusOr<ResolvedUser> ResolveUser(const std::vector<std::string>& lowers,
                                         absl::string_view user);

}  // namespace berth::image
