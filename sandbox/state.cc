#include "sandbox/state.h"

#include "absl/strings/str_cat.h"

namespace berth::sandbox {
namespace {

template <typename State, typename Event>
absl::Status Forbidden(State from, Event event) {
  return absl::FailedPreconditionError(
      absl::StrCat("state is ", Name(from), ", which forbids ", Name(event)));
}

}  // namespace

absl::StatusOr<ContainerState> Next(ContainerState from, ContainerEvent event) {
  using S = ContainerState;
  switch (event) {
    case ContainerEvent::kCreateDone:
      if (from == S::kCreating) return S::kCreated;
      break;
    case ContainerEvent::kStartDone:
      if (from == S::kCreated) return S::kRunning;
      break;
    case ContainerEvent::kStartFailed:
      if (from == S::kCreated) return S::kExited;
      break;
    case ContainerEvent::kExit:
      if (from == S::kCreated || from == S::kRunning) return S::kExited;
      break;
    case ContainerEvent::kRemove:
      // A running container is killed first, so that its exit is recorded. kRemoving: a retry.
      if (from != S::kRunning) return S::kRemoving;
      break;
  }
  return Forbidden(from, event);
}

absl::StatusOr<PodState> Next(PodState from, PodEvent event) {
  using S = PodState;
  switch (event) {
    case PodEvent::kRunDone:
      if (from == S::kCreating) return S::kReady;
      break;
    case PodEvent::kRunFailed:
      if (from == S::kCreating) return S::kNotReady;
      break;
    case PodEvent::kStop:
      if (from == S::kReady || from == S::kNotReady) return S::kNotReady;
      break;
    case PodEvent::kRemove:
      if (from != S::kReady) return S::kRemoving;
      break;
  }
  return Forbidden(from, event);
}

absl::string_view Name(ContainerState state) {
  switch (state) {
    case ContainerState::kCreating:
      return "creating";
    case ContainerState::kCreated:
      return "created";
    case ContainerState::kRunning:
      return "running";
    case ContainerState::kExited:
      return "exited";
    case ContainerState::kRemoving:
      return "removing";
  }
  return "";
}

absl::string_view Name(ContainerEvent event) {
  switch (event) {
    case ContainerEvent::kCreateDone:
      return "create";
    case ContainerEvent::kStartDone:
      return "start";
    case ContainerEvent::kStartFailed:
      return "failed start";
    case ContainerEvent::kExit:
      return "exit";
    case ContainerEvent::kRemove:
      return "remove";
  }
  return "";
}

absl::string_view Name(PodState state) {
  switch (state) {
    case PodState::kCreating:
      return "creating";
    case PodState::kReady:
      return "ready";
    case PodState::kNotReady:
      return "not ready";
    case PodState::kRemoving:
      return "removing";
  }
  return "";
}

absl::string_view Name(PodEvent event) {
  switch (event) {
    case PodEvent::kRunDone:
      return "run";
    case PodEvent::kRunFailed:
      return "failed run";
    case PodEvent::kStop:
      return "stop";
    case PodEvent::kRemove:
      return "remove";
  }
  return "";
}

}  // namespace berth::sandbox
