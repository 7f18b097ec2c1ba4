// Standard output and error as whole writes. Not thread-safe.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace berth::ctl {

// A closed pipe or a full disk must not look like success.
absl::Status Print(absl::string_view text);
absl::Status PrintError(absl::string_view text);

}  // namespace berth::ctl
