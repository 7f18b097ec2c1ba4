// StateDir: the daemon's claim on its data or run directory. Handle: the lock is given up with it,
// the directory and what is in it stay.
//
//   <dir>/identity    "berth data 1 <64 hex digits>\n": whose directory this is, and its format
//
// Not thread-safe; main claims both before anything else touches them.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/os/unique_fd.h"

namespace berth::server {

class [[nodiscard]] StateDir {
 public:
  // Makes `path` when absent (parents 0755), locks it, and checks or writes its identity. `role` is
  // "data" or "run". FailedPrecondition: a symbolic link, another owner, not a directory, somebody
  // else's files in it, another role or a newer format, or another process holds it (named).
  static absl::StatusOr<StateDir> Claim(const std::string& path, absl::string_view role,
                                        mode_t mode, gid_t group);

  const std::string& path() const { return path_; }
  const std::string& id() const { return id_; }  // stays the same for the life of the directory

 private:
  StateDir(std::string path, std::string id, os::UniqueFd lock)
      : path_(std::move(path)), id_(std::move(id)), lock_(std::move(lock)) {}
  std::string path_;
  std::string id_;
  os::UniqueFd lock_;  // the directory itself, flocked
};

// The process that holds a flock on the file behind `fd`, from the text of /proc/locks; 0: nobody,
// or nobody in sight.
pid_t LockHolder(absl::string_view proc_locks, dev_t device, ino_t inode);

}  // namespace berth::server
