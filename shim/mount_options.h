// Mount options of the OCI text (config.md, "Linux mount options") as what the kernel's mount calls
// take. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace berth::shim {

struct MountOptions {
  // MOUNT_ATTR_* of the mount itself, and of all mounts below it.
  uint64_t set = 0;
  uint64_t clear = 0;
  uint64_t set_recursive = 0;
  uint64_t clear_recursive = 0;
  uint64_t propagation = 0;  // MS_SHARED, ...; 0 = not named
  bool propagation_recursive = false;
  bool bind = false;           // "bind" or "rbind"
  bool map_ids = false;        // "idmap" or "ridmap"
  bool map_recursive = false;  // "ridmap": the mounts below take the mount's mappings too
  // For the file system: {key, value}, value "" = a flag.
  std::vector<std::pair<std::string, std::string>> data;
};

// Unimplemented for an option that is known and not offered ("remount", "tmpcopyup").
absl::StatusOr<MountOptions> ParseMountOptions(const std::vector<std::string>& options);

}  // namespace berth::shim
