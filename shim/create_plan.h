// From a spec to the plans that a child walks. InvalidArgument and Unimplemented name the JSON path
// of what cannot be done on this host.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shim/launch_wire.h"
#include "shim/prepare_launch.h"

namespace berth::shim {

// What this process may hand on.
struct Powers {
  uint64_t capabilities = 0;  // permitted
  int oom_score_adj = 0;      // its own now

  bool Has(int capability) const { return ((capabilities >> capability) & 1) != 0; }
};
absl::StatusOr<Powers> OwnPowers();

// Unimplemented: what the reader takes and the plans do not hold. One line less for each that they
// learn.
struct Offered {
  bool seccomp = false;  // a compiled filter was handed over
  bool hooks = false;    // somebody runs them
};
absl::Status CheckOffered(const oci::Spec& spec, const Offered& offered);

// CLONE_NEW* by what happens to each.
struct NamespacePlan {
  uint64_t made_by_clone = 0;
  bool new_cgroup = false;
  bool new_time = false;
  uint64_t all = 0;   // made or joined
  uint64_t own = 0;   // those of them that are not the runtime's: what is set in them is confined
  int pid_fd = -1;    // a PID namespace to be born in: a process joins none itself
  int user_fd = -1;   // the container's user namespace
  int mount_fd = -1;  // a mount namespace to join
  // Devices of this process's network namespace that go into the container's: {name, name there}.
  std::map<std::string, std::string> net_devices;
};
// From what PrepareNamespaces left; the thread is in the runtime's namespaces.
absl::StatusOr<NamespacePlan> PlanNamespaces(const LaunchDocument& document);

// child/plan.h ProcessPlan, of the document's spec and seccomp.
absl::StatusOr<std::string> BuildProcessPlan(const LaunchDocument& document,
                                             const NamespacePlan& namespaces, const Powers& powers);

// What `id` of a container is on the host; nullopt: it is not mapped. Without mappings itself.
std::optional<uint32_t> HostId(const std::vector<os::IdMapping>& mappings, uint32_t id);

// The container's state around its pid, as its hooks read it (runtime.md, "State").
struct HookState {
  std::string head;
  std::string creating_tail;
  std::string created_tail;
};

struct SetupOptions {
  int root_fd = -1;                  // the root as a detached mount
  std::string root_target;           // an absolute directory; see child/plan.h
  const HookState* hooks = nullptr;  // nullptr: the spec's hooks are not run
};

// child/plan.h SetupPlan. Sets the attributes of the mount trees that were handed over.
absl::StatusOr<std::string> BuildSetupPlan(const LaunchDocument& document,
                                           const NamespacePlan& namespaces,
                                           const SetupOptions& options);

}  // namespace berth::shim
