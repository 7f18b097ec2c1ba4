// A pod's namespaces: made without a process that stays, pinned, and opened again by any later
// daemon of the same boot.
//
//   host table:   <run>/pins             (nsfs: the pin table, one mount namespace for all pods)
//                 /run/netns/berth-<id>  (nsfs: the network namespace, where CNI agents look)
//   pin table:    /<id>/uts  /<id>/ipc  /<id>/user  (nsfs)   /<id>/shm  (tmpfs)
//
// So the host's table grows by one entry a pod at most. The entry of a pod in the pin table is made
// before its network namespace is pinned and goes after it: what is at /run/netns and not in the
// table is not ours.
//
// Thread-safe. setns and unshare happen on a private thread that ends with the call.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/os/mount.h"
#include "base/os/unique_fd.h"
#include "base/os/user_namespace.h"

namespace berth::os {

struct PodNamespaceOptions {
  std::string hostname;     // "" = the host's
  bool private_ipc = true;  // false: host IPC, then no ipc file and no shm
  uint64_t shm_bytes = 64 << 20;
  bool private_network = false;  // a network namespace of its own, `lo` up
  std::string network_path;      // host path that the network namespace is pinned at
  UserMappings user;             // not empty: a user namespace that owns all of the others
  // Names with dots ("net.ipv4.ip_forward"), written before anything runs in the pod.
  std::map<std::string, std::string> sysctls;
};

struct PodNamespaces {
  UniqueFd uts;
  UniqueFd ipc;       // invalid with host IPC
  UniqueFd net;       // invalid with host network
  UniqueFd user;      // invalid without a user namespace
  DetachedMount shm;  // a clone; invalid with host IPC
};

// A handle: closing it leaves the table and the pods in it as they are.
class PinTable {
 public:
  // The table pinned at <run_dir>/pins, or a new empty one. Where `run_dir` lies on a shared mount
  // it becomes a private mount of its own first (one entry of the host's table, once): the kernel
  // pins no mount namespace on a shared one.
  static absl::StatusOr<PinTable> Open(const std::string& run_dir);
  // Takes an empty or absent table away, and what Open mounted. FailedPrecondition: it has pods.
  static absl::Status Remove(const std::string& run_dir);

  // Makes a pod's namespaces and pins them. AlreadyExists when `pod` is there. On error nothing is
  // left. An error of writing a sysctl names it and has InvalidArgument as its code.
  absl::Status Pin(const std::string& pod, const PodNamespaceOptions& options) const;
  // Idempotent, whatever part of the pod is there. `network_path` "" = none.
  absl::Status Unpin(const std::string& pod, const std::string& network_path) const;

  // What a container of the pod is made with. `network_path` "" = host network. NotFound when the
  // pod is not pinned.
  absl::StatusOr<PodNamespaces> OpenPod(const std::string& pod,
                                        const std::string& network_path) const;
  // Names of the pods in the table, half-made ones too.
  absl::StatusOr<std::vector<std::string>> List() const;

 private:
  explicit PinTable(UniqueFd ns) : ns_(std::move(ns)) {}
  absl::StatusOr<UniqueFd> Make(const std::string& pod, const PodNamespaceOptions& options) const;

  UniqueFd ns_;
};

// Makes `dir` (as `ip netns` does, which shares it with us): a directory on a shared mount, so that
// what is pinned there is seen by CNI agents in mount namespaces of their own.
absl::Status MakeNetworkDirectory(const std::string& dir);

// True when a namespace is pinned at `path`.
bool IsPinnedNamespace(const std::string& path);

// Before 0.2 each pod had a mount namespace of its own, pinned at <run>/pods/<id>/ns.
absl::StatusOr<PodNamespaces> OpenOldPin(const std::string& pin_path);
absl::Status UnpinOldPin(const std::string& pin_path);

}  // namespace berth::os
