#include "shim/front/container.h"

#include <poll.h>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "base/status_macros.h"

namespace berth::shim::front {
namespace {

bool IsAlive(const ProcessName& process, const std::string& boot_id) {
  if (process.pid <= 0) return false;
  const absl::StatusOr<std::string> now = os::BootId();
  if (!now.ok() || *now != boot_id) return false;
  const absl::StatusOr<os::UniqueFd> fd = os::OpenProcess(process.pid, process.start_time);
  if (!fd.ok()) return false;
  // A zombie counts as ended: who waits for it may take its time.
  pollfd ended{fd->get(), POLLIN, 0};
  return poll(&ended, 1, 0) == 0;
}

}  // namespace

absl::StatusOr<Container> Container::Read(StateDir dir) {
  absl::StatusOr<ContainerRecord> record = dir.ReadRecord();
  if (absl::IsNotFound(record.status())) {
    // The directory alone: whoever makes it has not come further, or was killed there.
    ContainerRecord none;
    none.id = dir.id();
    record = none;
  }
  RETURN_IF_ERROR(record.status());
  ASSIGN_OR_RETURN(os::CgroupHost cgroups, os::CgroupHost::Probe());
  return Container(std::move(dir), *std::move(record), std::move(cgroups));
}

absl::StatusOr<Container> Container::Open(const Options& options, const std::string& id) {
  ASSIGN_OR_RETURN(StateDir dir, StateDir::Open(options.root, id));
  return Read(std::move(dir));
}

absl::StatusOr<Container> Container::OpenLocked(const Options& options, const std::string& id) {
  ASSIGN_OR_RETURN(StateDir dir, StateDir::Open(options.root, id));
  RETURN_IF_ERROR(dir.Lock());
  return Read(std::move(dir));
}

absl::StatusOr<Status> Container::GetStatus() const {
  if (record_.stage == Stage::kCreating) {
    return IsAlive(record_.creator, record_.boot_id) ? Status::kCreating : Status::kStopped;
  }
  if (!IsAlive(record_.process, record_.boot_id)) return Status::kStopped;
  const absl::StatusOr<bool> frozen = cgroups_.IsFrozen(record_.cgroup);
  if (frozen.ok() && *frozen) return Status::kPaused;
  return dir_.IsGateHeld() ? Status::kCreated : Status::kRunning;
}

absl::StatusOr<os::UniqueFd> Container::OpenProcess() const {
  if (IsAlive(record_.process, record_.boot_id)) {
    absl::StatusOr<os::UniqueFd> fd =
        os::OpenProcess(record_.process.pid, record_.process.start_time);
    if (!absl::IsNotFound(fd.status())) return fd;
  }
  return absl::NotFoundError(absl::StrCat("container ", record_.id, ": is not running"));
}

absl::Status Container::ExpectStatus(Status one, Status other) const {
  ASSIGN_OR_RETURN(const Status status, GetStatus());
  if (status == one || status == other) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("container ", record_.id, ": is ", StatusName(status)));
}

}  // namespace berth::shim::front
