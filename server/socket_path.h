// SocketPath: a listening socket's place in the file system. gRPC would steal a live socket, bind
// with whatever mode the umask gives, and unlink its path at exit, so it never sees the real path:
//
//   Prepare   nobody listens at <path>; the directory <path>.new (0700) is there and empty
//   gRPC      binds <path>.new/s
//   Publish   group and mode are set, then rename over <path>: clients see it whole or not at all
//   Withdraw  unlinks <path> if it is still this socket
//
// Not thread-safe.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/statusor.h"

namespace berth::server {

class SocketPath {
 public:
  // FailedPrecondition: another process listens there, or something that is no socket is in the
  // way. A socket that nobody listens on is replaced by Publish.
  static absl::StatusOr<SocketPath> Prepare(const std::string& path, mode_t mode, gid_t group);

  const std::string& path() const { return path_; }
  std::string BindPath() const { return path_ + ".new/s"; }
  absl::Status Publish();
  // Absent, or somebody else's by now, is success.
  absl::Status Withdraw();

 private:
  SocketPath(std::string path, mode_t mode, gid_t group)
      : path_(std::move(path)), mode_(mode), group_(group) {}
  std::string path_;
  mode_t mode_;
  gid_t group_;
  dev_t device_ = 0;
  ino_t inode_ = 0;  // 0 until published
};

}  // namespace berth::server
