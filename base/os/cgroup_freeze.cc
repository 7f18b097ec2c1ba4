// Pausing a group: Freeze, Thaw and IsFrozen. Sources: kernel Documentation/admin-guide/
// cgroup-v2.rst (cgroup.freeze, cgroup.events), cgroup-v1/freezer-subsystem.rst.
#include <poll.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/os/cgroup.h"
#include "base/os/cgroup_internal.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

using namespace cgroup_internal;  // NOLINT(google-build-using-namespace): its other half

constexpr char kV1State[] = "freezer.state";

// v1 has no word of a change, and a group stays FREEZING when a process forked meanwhile: it is
// told again each time.
absl::Status SetV1(const std::string& dir, const std::string& wanted, Deadline deadline) {
  for (absl::Duration pause = absl::Milliseconds(1);;) {
    RETURN_IF_ERROR(Write(dir, kV1State, wanted));
    ASSIGN_OR_RETURN(const std::string state, Read(dir, kV1State));
    if (state == wanted) return absl::OkStatus();
    if (deadline.Expired()) {
      return absl::DeadlineExceededError(absl::StrCat("cgroup ", dir, " is ", state));
    }
    (void)poll(nullptr, 0, Deadline::After(pause).Min(deadline).PollMillis());
    pause = std::min(pause * 2, absl::Milliseconds(50));
  }
}

absl::Status SetV2(const std::string& dir, bool frozen, Deadline deadline) {
  RETURN_IF_ERROR(Write(dir, "cgroup.freeze", frozen ? "1" : "0"));
  return WaitForEvent(dir, frozen ? "frozen 1" : "frozen 0", deadline);
}

absl::Status NoFreezer() {
  return absl::FailedPreconditionError("this host has neither cgroup v2 nor the v1 freezer");
}

}  // namespace

absl::Status CgroupHost::Freeze(const std::string& path, Deadline deadline) const {
  RETURN_IF_ERROR(CheckPath(path));
  const std::string v1 = V1Root("freezer");
  if (v2_root_.empty() && v1.empty()) return NoFreezer();
  const absl::Status status = v2_root_.empty() ? SetV1(v1 + path, "FROZEN", deadline)
                                               : SetV2(v2_root_ + path, true, deadline);
  if (absl::IsDeadlineExceeded(status)) {
    // Half a group that stands still helps nobody. The error to report is the first one.
    (void)(v2_root_.empty() ? Write(v1 + path, kV1State, "THAWED")
                            : Write(v2_root_ + path, "cgroup.freeze", "0"));
  }
  return status.ok() ? status : Annotate(status, "freeze");
}

absl::Status CgroupHost::Thaw(const std::string& path, Deadline deadline) const {
  RETURN_IF_ERROR(CheckPath(path));
  const std::string v1 = V1Root("freezer");
  if (v2_root_.empty() && v1.empty()) return NoFreezer();
  const absl::Status status = v2_root_.empty() ? SetV1(v1 + path, "THAWED", deadline)
                                               : SetV2(v2_root_ + path, false, deadline);
  return status.ok() ? status : Annotate(status, "thaw");
}

absl::StatusOr<bool> CgroupHost::IsFrozen(const std::string& path) const {
  RETURN_IF_ERROR(CheckPath(path));
  if (!v2_root_.empty()) {
    ASSIGN_OR_RETURN(const uint64_t frozen, ReadKey(v2_root_ + path, "cgroup.events", "frozen"));
    return frozen == 1;
  }
  const std::string v1 = V1Root("freezer");
  if (v1.empty()) return NoFreezer();
  ASSIGN_OR_RETURN(const std::string state, Read(v1 + path, kV1State));
  return state == "FROZEN";
}

}  // namespace berth::os
