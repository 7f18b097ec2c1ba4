// The exit record that a shim leaves in the container's run directory: reading it. Written by
// shim/monitor/exit_file.cc; the format is docs/formats/exit-record.md. Pure functions;
// thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shim/client.h"

namespace berth::shim {

struct StoredExit {
  std::string boot_id;  // of the boot in which it was written
  ExitRecord exit;
};

// DataLoss when any byte differs from what the writer would have put there.
absl::StatusOr<StoredExit> ParseExitRecord(absl::string_view text);

}  // namespace berth::shim
