// Making a container up to the gate just before its execve: what `create` and `run` share.
//
//   state directory, record "creating"      what a kill -9 leaves is found by these
//   cgroup with its limits
//   clone3 ----------------------------------> namespaces, mounts
//   hooks: prestart, createRuntime  <---------  kStepHooks, waits
//     ------------------------------------->   hooks: createContainer; pivot, identity
//   record "created"   <----------------------  kStepReady, stands at the gate
//
// Not thread-safe: the process that calls it has one thread.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/os/cgroup.h"
#include "shim/create_process.h"
#include "shim/front/container_record.h"
#include "shim/front/launch.h"
#include "shim/front/options.h"
#include "shim/front/state_dir.h"

namespace berth::shim::front {

struct CreateRequest {
  std::string id;
  std::string bundle;
  std::string pid_file;        // "" = none
  std::string console_socket;  // "" = none
  int preserve_fds = 0;
  bool no_new_keyring = false;
  bool waits_for_start = true;  // false: whoever makes it starts it, too
  bool stays = false;           // the caller waits for its end: without a socket a terminal is its
};

struct CreatedContainer {
  StateDir dir;  // locked
  ContainerRecord record;
  oci::Spec spec;
  os::CgroupHost cgroups;
  FirstProcess process;  // stands at the gate
};

// On failure nothing of it is left, and poststop hooks have run if any other hook has.
absl::StatusOr<CreatedContainer> CreateContainer(const Options& options,
                                                 const CreateRequest& request);

}  // namespace berth::shim::front
