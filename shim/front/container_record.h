// What berth-oci remembers of a container from one call to the next, and the state that the OCI
// text has it tell (runtime.md, "State"). docs/formats/oci-state.md. Values; thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::shim::front {

// A process that cannot be mistaken for another one.
struct ProcessName {
  pid_t pid = -1;
  uint64_t start_time = 0;  // base/os/process.h
};

enum class Stage { kCreating, kCreated };

struct ContainerRecord {
  std::string id;
  std::string oci_version;
  std::string bundle;  // absolute
  std::string rootfs;  // absolute
  std::string boot_id;
  Stage stage = Stage::kCreating;
  ProcessName creator;  // the `berth-oci` that makes it
  ProcessName process;  // its first one; pid -1 = none yet
  std::string cgroup;   // its path below every hierarchy's root
  // The topmost directory of that path that was made for this container: what is empty of it goes
  // with the container.
  std::string cgroup_made;
  bool has_pid_namespace = false;  // a new one, which ends with its first process
  std::string created;             // RFC 3339
  std::map<std::string, std::string> annotations;
};

std::string ToJson(const ContainerRecord& record);
// DataLoss: it is damaged, or of another version.
absl::StatusOr<ContainerRecord> ParseContainerRecord(absl::string_view json);

enum class Status { kCreating, kCreated, kRunning, kPaused, kStopped };
const char* StatusName(Status status);  // "running"

// The state as JSON around the pid, which is another one for a hook inside the container.
struct StateText {
  std::string head;
  std::string tail;
  std::string With(pid_t pid) const;
};
StateText OciState(const ContainerRecord& record, Status status);

// runc's "state" and one element of its "list": the state with rootfs, created and owner.
std::string FullState(const ContainerRecord& record, Status status);

}  // namespace berth::shim::front
