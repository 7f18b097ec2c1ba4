// From the gate to the container's own program: what `start` and `run` share.
#pragma once

#include "absl/status/status.h"
#include "base/os/cgroup.h"
#include "shim/create_process.h"
#include "shim/front/container_record.h"
#include "shim/front/state_dir.h"
#include "shim/oci/spec.h"

namespace berth::shim::front {

struct StartRequest {
  int gate_write_fd;
  int report_read_fd;
  const ContainerRecord* record;
  const oci::Hooks* hooks;
  const os::CgroupHost* cgroups;
  StateDir* dir;         // locked
  bool destroy = false;  // whatever the failure
};

// Opens the gate, waits for the execve, runs poststart hooks. When its program cannot be executed
// the container has ended and, unless `destroy`, is still there; when a hook fails (runtime.md,
// "Lifecycle", 7 and 9) it is destroyed, and its poststop hooks have run.
absl::Status StartContainer(const StartRequest& request);

}  // namespace berth::shim::front
