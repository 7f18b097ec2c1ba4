// Namespaces that live without a process.
//
// HolderNamespace is the prepared minimal mount namespace that shims are set up in: a tmpfs root
// with /proc, /data (the daemon's data directory) and /run (its run directory), all private, and
// an empty directory /root to attach a rootfs at. Copying the host's table into each container
// would cost 1.4 ms per 1000 mounts; here a clone copies four.
//
// PodNamespaces are a pod's pinned IPC and UTS namespaces and its /dev/shm, kept in one private
// mount namespace which itself is pinned by one nsfs bind mount: one entry of the host's table.
//
//   host table:   <run>/pods/<id>/ns  (nsfs: the pin namespace)
//   pin ns:       /ipc (nsfs)  /uts (nsfs)  /shm (tmpfs)
//
// All functions are thread-safe; setns and unshare happen on a private thread that ends with the
// call.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "base/os/mount.h"
#include "base/os/unique_fd.h"

namespace berth::os {

// The minimal namespace. Dies with the last fd and the last process in it. Its own root is
// read-only; what is mounted later below the two directories on the host does not show up in it,
// and pins of pods are not copied. Where `run_dir` lies on a shared mount it becomes a private
// mount of its own first (one entry of the host's table, once): the kernel pins no mount namespace
// on a shared one.
absl::StatusOr<UniqueFd> MakeHolderNamespace(const std::string& data_dir,
                                             const std::string& run_dir);

struct PodNamespaceOptions {
  std::string hostname;     // "" = the host's
  bool private_ipc = true;  // false: host IPC, then no ipc file and no shm
  uint64_t shm_bytes = 64 << 20;
};
// Makes them and pins the namespace at `pin_path` (a file it creates, in an existing directory
// below the run directory). AlreadyExists when pinned. On error nothing is left.
absl::Status PinPodNamespaces(int holder_ns_fd, const std::string& pin_path,
                              const PodNamespaceOptions& options);
// Idempotent: an absent pin, or one that is only a plain file left by a kill, is success.
absl::Status UnpinPodNamespaces(const std::string& pin_path);

struct PodNamespaces {
  UniqueFd uts;
  UniqueFd ipc;       // invalid with host IPC
  DetachedMount shm;  // a clone; invalid with host IPC
};
// What a container of the pod is made with. NotFound when nothing is pinned there.
absl::StatusOr<PodNamespaces> OpenPodNamespaces(const std::string& pin_path);

// Runs `body` on a new thread that ends afterwards, so that it may setns or unshare at will.
absl::Status OnPrivateThread(const std::function<absl::Status()>& body);

}  // namespace berth::os
