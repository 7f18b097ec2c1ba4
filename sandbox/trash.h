// Trash: a container's directory leaves its place by one rename and is deleted later, on one
// thread. Thread-safe.
#pragma once

#include "absl/status/status.h"
#include "sandbox/core.h"

namespace berth::sandbox {

// Renames <data>/containers/<id> away. Absent is success.
absl::Status MoveToTrash(Core& core, const ContainerId& id);
// Deletes all that is in the trash, in the background.
void EmptyTrash(Core& core);

}  // namespace berth::sandbox
