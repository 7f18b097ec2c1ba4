// The init of a pod from the daemon's side: its start. What it is: shim/monitor/pod_init.h.
// Part of the launcher. Thread-safe: no state.
#pragma once

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/os/cgroup.h"
#include "base/os/spawn.h"
#include "shim/oci/spec.h"

namespace berth::shim {

struct PodInitStart {
  int program_fd = -1;  // the sealed shim
  int holder_fd = -1;   // the holder mount namespace
  int oom_score_adj = 0;
  const os::CgroupJoin* group = nullptr;  // it is born in there
  // The pod's, to be joined.
  const std::vector<std::pair<oci::NamespaceType, os::UniqueFd>>* namespaces = nullptr;
};

// Returns when it is PID 1 of a PID namespace of its own. On error nothing of it runs.
absl::StatusOr<os::Child> StartPodInit(const PodInitStart& start, Deadline deadline);

}  // namespace berth::shim
