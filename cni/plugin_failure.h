// What a failed plugin meant: from the end of its process and what it printed to a status.
// Pure functions; thread-safe.
#pragma once

#include "absl/status/status.h"
#include "base/os/run_program.h"

namespace berth::cni {

// OK when the program ended by itself with exit code 0. Messages have the cause only.
absl::Status PluginStatus(const os::ProgramResult& result);

}  // namespace berth::cni
