// A container that was made by an earlier call: its record, what has become of it, its first
// process. Handles; not thread-safe.
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/os/cgroup.h"
#include "base/os/unique_fd.h"
#include "shim/front/container_record.h"
#include "shim/front/options.h"
#include "shim/front/state_dir.h"

namespace berth::shim::front {

class Container {
 public:
  // NotFound: there is none. Does not lock.
  static absl::StatusOr<Container> Open(const Options& options, const std::string& id);
  // For who changes it: takes the lock first.
  static absl::StatusOr<Container> OpenLocked(const Options& options, const std::string& id);

  StateDir& dir() { return dir_; }
  const ContainerRecord& record() const { return record_; }
  const os::CgroupHost& cgroups() const { return cgroups_; }

  // From what there is now: the process, the gate, the freezer.
  absl::StatusOr<Status> GetStatus() const;
  // NotFound: it has ended.
  absl::StatusOr<os::UniqueFd> OpenProcess() const;
  // FailedPrecondition, naming the status, unless it is one of the two.
  absl::Status ExpectStatus(Status one, Status other) const;

 private:
  Container(StateDir dir, ContainerRecord record, os::CgroupHost cgroups)
      : dir_(std::move(dir)), record_(std::move(record)), cgroups_(std::move(cgroups)) {}
  static absl::StatusOr<Container> Read(StateDir dir);

  StateDir dir_;
  ContainerRecord record_;
  os::CgroupHost cgroups_;
};

}  // namespace berth::shim::front
