// One copy of the shim's binary that nothing can change, to start every shim from: their pages are
// shared, and a container that reaches its shim's /proc/PID/exe reaches no file of the host
// (CVE-2019-5736). Thread-safe: no state.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/os/unique_fd.h"

namespace berth::shim {

// A sealed memfd; where the host forbids executable ones (sysctl vm.memfd_noexec=2, an LSM), a
// read-only detached mount of the binary. To be executed with execveat(AT_EMPTY_PATH).
absl::StatusOr<os::UniqueFd> OpenSealedProgram(const std::string& path);

}  // namespace berth::shim
