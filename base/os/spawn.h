// Spawn: the one way this project starts a program. clone3 with CLONE_VM | CLONE_VFORK semantics,
// all signals blocked across it, so a large daemon pays no page-table copy and a child never runs
// in a half-copied, multi-threaded image. The daemon never forks.
// Thread-safe.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/os/unique_fd.h"

namespace berth::os {

struct SpawnOptions {
  // The program: an fd (execveat AT_EMPTY_PATH) or, when -1, `path` (no PATH search).
  int program_fd = -1;
  std::string path;
  std::vector<std::string> argv;
  std::vector<std::string> env;
  // {fd here, number there}. Everything else is closed in the child; 0, 1, 2 that are not named
  // are /dev/null. Numbers there must be distinct.
  std::vector<std::pair<int, int>> fds;
  // Written "0" by the child before exec, one open(O_WRONLY) fd per cgroup v1 `tasks` file.
  std::vector<int> cgroup_tasks_fds;
  // Directory fd of a cgroup v2 group to be born in (CLONE_INTO_CGROUP), or -1.
  int cgroup_fd = -1;
  // Extra CLONE_NEW* flags, e.g. CLONE_NEWNET for a process without network.
  unsigned long clone_flags = 0;
  bool new_session = true;  // setsid()
};

// A started child of this process.
struct Child {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// Fails with the step's errno when the exec failed; nothing is left then.
absl::StatusOr<Child> Spawn(const SpawnOptions& options);

// Waits for and reaps it. The value is waitpid's: use WIFEXITED and friends. DeadlineExceeded
// leaves the child running and unreaped.
absl::StatusOr<int> WaitChild(const Child& child, Deadline deadline);

}  // namespace berth::os
