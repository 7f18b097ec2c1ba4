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
  uint64_t propagation = 0;  // MS_SHARED, ...: the last one named; 0 = none
  bool propagation_recursive = false;
  // All that are named, in their order: "rslave", "rshared" makes a shared slave.
  std::vector<std::pair<uint64_t, bool>> propagations;
  bool bind = false;           // "bind" or "rbind"
  bool recursive = false;      // "rbind"
  bool remount = false;        // what is mounted there already is changed
  bool copy_up = false;        // "tmpcopyup"
  bool map_ids = false;        // "idmap" or "ridmap"
  bool map_recursive = false;  // "ridmap": the mounts below take the mount's mappings too
  // Of every file system, as fsconfig(2) flags: "sync", "lazytime", ...; and "async", "nolazytime",
  // which mean something to a remount alone. A bind mount has none of its own.
  std::vector<std::string> super_flags;
  // For the file system: {key, value}, value "" = a flag.
  std::vector<std::pair<std::string, std::string>> data;
};

// What mount(8) keeps for itself ("noauto", "x-*") is passed over, and so is what today's kernels
// do not take through fsconfig(2) and that nothing shows: "silent", "loud", "iversion".
// InvalidArgument for what cannot be an option.
absl::StatusOr<MountOptions> ParseMountOptions(const std::vector<std::string>& options);

}  // namespace berth::shim
