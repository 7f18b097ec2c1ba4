// The state machines of pods and containers as pure tables, and their stored names.
// Pure functions; thread-safe.
//
//   container:   kCreating --created--> kCreated --started--> kRunning --exited--> kExited
//                    |                     |  '--start failed / exited--------------^  |
//                    '------- remove ------+---------------- remove -------------------+-->
//                    kRemoving
//
//   pod:         kCreating --ready--> kReady --stop--> kNotReady --remove--> kRemoving
//                    '--failed---------------------------^   (kCreating --remove--> kRemoving)
//
// kCreating and kRemoving are intents on disk: after a kill the reconciler undoes or finishes them.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::sandbox {

enum class ContainerState : uint8_t { kCreating, kCreated, kRunning, kExited, kRemoving };
enum class ContainerEvent : uint8_t { kCreateDone, kStartDone, kStartFailed, kExit, kRemove };

enum class PodState : uint8_t { kCreating, kReady, kNotReady, kRemoving };
enum class PodEvent : uint8_t { kRunDone, kRunFailed, kStop, kRemove };

// FailedPrecondition when `from` forbids `event`.
absl::StatusOr<ContainerState> Next(ContainerState from, ContainerEvent event);
absl::StatusOr<PodState> Next(PodState from, PodEvent event);

// "running", for messages.
absl::string_view Name(ContainerState state);
absl::string_view Name(ContainerEvent event);
absl::string_view Name(PodState state);
absl::string_view Name(PodEvent event);

}  // namespace berth::sandbox
