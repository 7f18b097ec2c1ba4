// User namespaces that live without a process, and the namespaces that belong to them.
//
// setns(2) and unshare(2) into a user namespace are refused to a process with threads, so one is
// made by a child (clone3) that only waits while the parent writes its maps and opens its
// namespace files; then it is killed. The child shares this process's memory and never returns
// into it.
// Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "base/os/unique_fd.h"

namespace berth::os {

struct IdMapping {
  uint32_t container_id = 0;
  uint32_t host_id = 0;
  uint32_t length = 0;
  friend bool operator==(const IdMapping& a, const IdMapping& b) {
    return a.container_id == b.container_id && a.host_id == b.host_id && a.length == b.length;
  }
};

struct UserMappings {
  std::vector<IdMapping> uids;
  std::vector<IdMapping> gids;
  bool empty() const { return uids.empty() && gids.empty(); }
};

// Handles: each namespace is there as long as an fd, a mount or a process holds it.
struct UserNamespaces {
  UniqueFd user;
  UniqueFd uts;  // invalid where not asked for
  UniqueFd ipc;
  UniqueFd net;
};

// A new user namespace with these maps, setgroups(2) allowed, and those of CLONE_NEWUTS,
// CLONE_NEWIPC and CLONE_NEWNET that `others` names, new and owned by it.
// Precondition: both maps have an entry. The kernel's errno when it refuses.
absl::StatusOr<UserNamespaces> MakeUserNamespace(const UserMappings& mappings,
                                                 unsigned long others);

// The maps of a user namespace, as this process's own one counts host ids. A process without
// threads is born for it, enters and waits meanwhile. Needs CAP_SYS_ADMIN in it.
absl::StatusOr<UserMappings> ReadUserMappings(int user_fd);

}  // namespace berth::os
