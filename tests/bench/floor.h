// The floor: the same work as create + start, exec and stop + remove done with bare system calls
// and nothing else, by a single-threaded program on the same file system in the same run. What a
// runtime costs beyond this is its own doing.
#pragma once

#include <sys/types.h>

#include <string>

namespace berth::bench {

class Floor {
 public:
  // `lower`: a directory with a static /bin/busybox; `work`: an empty directory for uppers.
  Floor(std::string lower, std::string work) : lower_(std::move(lower)), work_(std::move(work)) {}

  // New namespaces, overlay, proc, dev, shm, pivot_root, execve of `busybox sleep`: returns once
  // execve has succeeded. False (errno) on failure.
  bool CreateStart();
  // fork, join the namespaces, fork again, exec `busybox true`, reap.
  bool Exec();
  // SIGKILL, wait, remove the upper directory.
  bool StopRemove();

 private:
  [[noreturn]] void Child(int report_fd) const;
  std::string lower_;
  std::string work_;
  pid_t pid_ = -1;
  int pidfd_ = -1;
};

}  // namespace berth::bench
