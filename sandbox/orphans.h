// Orphans: what is on this host in Berth's name and in no record. Thread-safe; for start, before
// any verb makes things.
#pragma once

#include "sandbox/core.h"

namespace berth::sandbox {

// Run directories with their shims and cgroups, cgroups below the cgroup root, pins, and data
// directories. What resists is logged.
void RemoveOrphans(Core& core);

}  // namespace berth::sandbox
