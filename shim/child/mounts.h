// The file systems of a container, made inside its new mount namespace before the pivot.
// Part of shim/child: every function ends the process through Fail() when a step fails.
#pragma once

#include "shim/child/plan.h"

namespace berth::shim::child {

struct RootContext {
  const SetupPlan* setup;
  int root_fd;  // the container's root, attached
  int report_fd;
};

void MountAll(const RootContext& context);
void MakeDevices(const RootContext& context);
void MakeLinks(const RootContext& context);
// Read-only at last, and what must be proc or sysfs really is.
void FinishMounts(const RootContext& context);
void SetSysctls(const RootContext& context);

// After the pivot. Absent paths are skipped.
void MaskPaths(const RootContext& context);
void ProtectPaths(const RootContext& context);

}  // namespace berth::shim::child
