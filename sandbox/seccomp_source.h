// SeccompSource: what sandbox/ needs of the profile compiler. Implemented in server/ over
// shim/seccomp. Implementations are thread-safe and may take some 20 ms for a profile not yet seen.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "shim/seccomp_filter.h"

namespace berth::sandbox {

class SeccompSource {
 public:
  virtual ~SeccompSource() = default;
  // The runtime's default profile for a process whose bounding set is `capabilities` (bit N =
  // capability N).
  virtual absl::StatusOr<shim::SeccompFilter> FilterFor(uint64_t capabilities) = 0;
  // The same of the profile in a file of this node, which is read now. InvalidArgument names the
  // file, the place in it and what is wrong there.
  virtual absl::StatusOr<shim::SeccompFilter> FilterFromFile(const std::string& path,
                                                             uint64_t capabilities) = 0;
};

}  // namespace berth::sandbox
