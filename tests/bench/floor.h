// The floor: the same work as create + start, exec and stop + remove done with bare system calls
// and nothing else, by a single-threaded program on the same file system in the same run. What a
// runtime costs beyond this is its own doing. What the product's child does, this one does, with
// the mount API of old, which is no slower.
#pragma once

#include <sys/types.h>

#include <string>

namespace berth::bench {

class Floor {
 public:
  // `lower`: a directory with a static /bin/busybox; `work`: an empty directory for uppers;
  // `filter`: sock_filter bytes.
  Floor(std::string lower, std::string work, std::string filter)
      : lower_(std::move(lower)), work_(std::move(work)), filter_(std::move(filter)) {}

  // New namespaces, overlay, the default mounts, devices, pivot_root, masked and read-only paths,
  // capabilities, no_new_privs, seccomp, execve of `busybox sleep`: returns once execve has
  // succeeded. False (errno) on failure.
  bool CreateStart();
  // fork, join the namespaces, fork again, exec `busybox true`, reap.
  bool Exec();
  // SIGKILL, wait, remove the upper directory.
  bool StopRemove();

 private:
  [[noreturn]] void Child(int report_fd) const;
  void MountAll() const;
  void Confine() const;
  std::string lower_;
  std::string work_;
  std::string filter_;
  pid_t pid_ = -1;
  int pidfd_ = -1;
};

}  // namespace berth::bench
