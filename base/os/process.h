// Processes as (pid, start time): a pid alone may have been reused. Thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "base/os/unique_fd.h"

namespace berth::os {

// Field 22 of /proc/PID/stat, clock ticks since boot. NotFound when there is no such process.
absl::StatusOr<uint64_t> StartTime(pid_t pid);
// True for a zombie (state Z or X) and for a pid that is gone.
bool IsDead(pid_t pid);
// pidfd_open, then the start time is compared: NotFound when it is another process by now.
absl::StatusOr<UniqueFd> OpenProcess(pid_t pid, uint64_t start_time);
// /proc/PID/oom_score_adj of that very process; NotFound when it is gone or another one by now.
absl::StatusOr<int> OomScoreAdj(pid_t pid, uint64_t start_time);
absl::Status SetOomScoreAdj(pid_t pid, uint64_t start_time, int value);
// The PID namespace that it is in, for setns(2). NotFound when it is another process by now.
absl::StatusOr<UniqueFd> OpenPidNamespace(pid_t pid, uint64_t start_time);
// Capability sets: numbers by name ("CAP_CHOWN" or "CHOWN"), case-insensitive.
// InvalidArgument for a name that does not exist; NotFound for one the running kernel lacks.
absl::StatusOr<int> CapabilityNumber(absl::string_view name);
std::string CapabilityName(int number);  // "CAP_CHOWN"
int LastCapability();                    // of the running kernel
// This process's bounding set as a bit mask: what "all capabilities" can mean here.
absl::StatusOr<uint64_t> BoundingCapabilities();

// RLIMIT_* by its OCI and getrlimit(2) name, "RLIMIT_NOFILE"; nullopt for a name that Linux lacks.
std::optional<int> RlimitNumber(absl::string_view name);

}  // namespace berth::os
