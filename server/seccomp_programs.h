// SeccompPrograms: programs of the default profile and of profiles in files, for sandbox/, compiled
// once each. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "sandbox/seccomp_source.h"

namespace berth::server {

// `directory` keeps compiled programs over a restart.
absl::StatusOr<std::unique_ptr<sandbox::SeccompSource>> OpenSeccompPrograms(
    const std::string& directory);

}  // namespace berth::server
