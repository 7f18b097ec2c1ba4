// One container's directory below --root: state.json, config.json, lock, and while it waits for its
// start the FIFOs gate and report. docs/formats/oci-state.md.
//
// Who changes the container (create, start, update, delete) holds the lock; who looks or signals
// does not: state.json is replaced by rename. The lock is a record lock of fcntl(2), which no child
// inherits. Handles; not thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/os/unique_fd.h"
#include "shim/create_process.h"
#include "shim/front/container_record.h"

namespace berth::shim::front {

class StateDir {
 public:
  // InvalidArgument: anything but 1 to 255 letters, digits, "_", "+", "-" and, but first, ".".
  static absl::Status CheckId(absl::string_view id);
  // Makes and locks it. AlreadyExists: the id is in use.
  static absl::StatusOr<StateDir> Make(const std::string& root, const std::string& id);
  // Without the lock. NotFound: there is no such container.
  static absl::StatusOr<StateDir> Open(const std::string& root, const std::string& id);
  // Ids of all directories.
  static absl::StatusOr<std::vector<std::string>> List(const std::string& root);

  // Waits a moment for who holds it. FailedPrecondition, naming the process, when it does not let
  // go; NotFound when the container has been deleted meanwhile.
  absl::Status Lock();
  void Unlock() { lock_.reset(); }

  const std::string& id() const { return id_; }
  int fd() const { return fd_.get(); }

  absl::Status WriteRecord(const ContainerRecord& record) const;
  // NotFound: there is none (yet).
  absl::StatusOr<ContainerRecord> ReadRecord() const;
  absl::Status WriteConfig(absl::string_view text) const;
  absl::StatusOr<std::string> ReadConfig() const;

  // FIFOs. What the first process waits at, and what it tells how it went.
  absl::Status MakeGate() const;
  void RemoveGate() const;
  // All ends, for who makes the container. The first process has the gate open both ways: it never
  // reads an end.
  absl::StatusOr<FirstProcess::Gate> OpenGate() const;
  // `gate_write` and `report_read`, for who starts it; both invalid: nobody waits.
  absl::StatusOr<FirstProcess::Gate> OpenWaitingGate() const;
  // Does a process wait at the gate?
  bool IsGateHeld() const;

  // Takes the name away, with all that is in it.
  absl::Status Remove();

 private:
  StateDir(std::string root, std::string id, os::UniqueFd fd)
      : root_(std::move(root)), id_(std::move(id)), fd_(std::move(fd)) {}

  std::string root_;
  std::string id_;
  os::UniqueFd fd_;
  os::UniqueFd lock_;
};

}  // namespace berth::shim::front
