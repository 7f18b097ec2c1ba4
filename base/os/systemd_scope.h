// Scopes of the running systemd, over its own socket: no message bus in between. Each call is a
// connection of its own, so calls from several threads do not meet. Thread-safe.
// Source: org.freedesktop.systemd1(5).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/os/systemd_unit.h"

namespace berth::os {

class Systemd {
 public:
  // True when systemd is this host's init, sd_booted(3).
  static bool IsRunning();

  // `socket`: a test's own.
  explicit Systemd(std::string socket = "/run/systemd/private") : socket_(std::move(socket)) {}

  // Makes the scope with `parked` in it and waits until systemd has: its group exists then in the
  // hierarchies that systemd manages. A scope ends by itself when its last process does, so
  // `parked` stays until another is in.
  // AlreadyExists: a unit of that name runs. FailedPrecondition: systemd refuses a property.
  absl::Status StartScope(const ScopeName& name, pid_t parked, const CgroupLimits& limits,
                          CgroupLayout layout, Deadline deadline) const;
  // Stops it (what still runs in it is told to end) and clears a failure, so that its name is free.
  // An absent unit is success.
  absl::Status StopScope(const std::string& unit, Deadline deadline) const;
  // For an update: until the next boot only, as the scope itself. NotFound: no such unit.
  absl::Status SetLimits(const std::string& unit, const CgroupLimits& limits, CgroupLayout layout,
                         Deadline deadline) const;

 private:
  const std::string socket_;
};

}  // namespace berth::os
