// What went through the network interfaces of other network namespaces. Stateless; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::os {

struct InterfaceCounters {
  std::string name;
  uint64_t rx_bytes = 0;
  uint64_t rx_errors = 0;
  uint64_t tx_bytes = 0;
  uint64_t tx_errors = 0;
};

// Of each network namespace file (nsfs) in `paths`, in order; one that is not there or cannot be
// entered has no interfaces. "lo" is left out. One private thread visits all of them.
absl::StatusOr<std::vector<std::vector<InterfaceCounters>>> ReadInterfaceCounters(
    const std::vector<std::string>& paths);

// The text of /proc/net/dev.
std::vector<InterfaceCounters> ParseNetDev(absl::string_view text);

}  // namespace berth::os
