// The half-done update of a container's limits, and its end. Thread-safe; the caller holds the
// pod's operation slot, or is the start.
#pragma once

#include "absl/status/status.h"
#include "sandbox/core.h"

namespace berth::sandbox {

// An update that was cut short (by an error or a kill) is undone: every limit has the value from
// before again, and the record says so. Where what was before does not fit any more (memory in use
// by now), the new values are brought in instead. OK when there is none. An error keeps the intent.
absl::Status SettleUpdate(Core& core, Container& container);

}  // namespace berth::sandbox
