// Namespaces by file: /proc/PID/ns/*, or a bind mount of one. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/os/unique_fd.h"

namespace berth::os {

// Opens what `path` names and does nothing else to it, whatever it is: no wait for a FIFO's writer.
absl::StatusOr<UniqueFd> OpenNamespaceFile(const std::string& path);

// CLONE_NEW* of what the descriptor refers to (ioctl_ns(2)); ENOTTY as errno when it is no
// namespace.
absl::StatusOr<uint64_t> NamespaceTypeOf(int fd);

// "net", "mnt", ...: the name below /proc/PID/ns of a CLONE_NEW*; nullptr for none.
const char* NamespaceName(uint64_t type);

// The kernel has namespaces of this type.
bool HasNamespaces(uint64_t type);

// True when this thread's own namespace of the type is the one that `fd` refers to.
absl::StatusOr<bool> IsOwnNamespace(int fd, uint64_t type);

}  // namespace berth::os
