// Core: what every verb works with. Made by Runtime::Start (runtime.cc), or by a test with fakes.
// Thread-safe: each member is. Members are declared in the order of their dependencies: at the end
// events stop, then the pools finish what they have, then the rest goes.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/worker_pool.h"
#include "cni/network.h"
#include "image/image_store.h"
#include "image/user_lookup.h"
#include "sandbox/host_port.h"
#include "sandbox/object_store.h"
#include "sandbox/resource_port.h"
#include "sandbox/runtime.h"
#include "sandbox/seccomp_source.h"
#include "sandbox/shim_port.h"
#include "shim/launcher.h"

namespace berth::sandbox {

// image::ResolveUser, or a test's.
using UserResolver = std::function<absl::StatusOr<image::ResolvedUser>(
    const std::vector<std::string>& lowers, absl::string_view user)>;

// Borrowed: outlives the core.
struct Collaborators {
  store::Store* store = nullptr;
  image::ImageStore* images = nullptr;
  shim::Launcher* launcher = nullptr;
  cni::Network* network = nullptr;
};

struct Core {
  Core(RuntimeOptions runtime_options, HostFacts facts, Collaborators borrowed,
       std::unique_ptr<HostPort> host_port, UserResolver user_resolver);
  ~Core();

  const RuntimeOptions options;
  const HostFacts facts;
  store::Store& store;
  image::ImageStore& images;
  shim::Launcher& launcher;
  cni::Network& network;
  const std::unique_ptr<HostPort> host;
  const UserResolver resolve_user;

  PodStore pods;
  ContainerStore containers;

  std::unique_ptr<ShimPort> shims;          // set once, before any verb runs
  std::unique_ptr<ResourcePort> resources;  // likewise
  std::atomic<bool> stopping{false};        // ends measurements that run
  // Each submits only to those above it, which outlive it.
  WorkerPool trash;     // one thread: deletes what was renamed to the trash
  WorkerPool measures;  // one thread: walks writable layers
  WorkerPool detaches;  // may wait minutes: asks plugins to undo what an earlier daemon owes
  WorkerPool releases;  // may wait: kills and takes away what a shim left
  WorkerPool exits;     // short: reads and records how a container ended

  // How long a lifecycle call waits for its turn, and a retry for the call that it joins.
  Deadline Turn() const { return Deadline::After(options.create_timeout); }
  Deadline KillDeadline() const { return Deadline::After(options.kill_timeout); }
  // Of the file system that the writable layers lie on; looked up once.
  const std::string& DataMountPoint();

 private:
  std::once_flag data_mount_once_;
  std::string data_mount_;
};

// What a shim's watch connection reports (exit_handling.cc). Never blocks.
void OnShimEvent(Core& core, const ContainerId& id, shim::WatchEvent event);

// OK and nullptr-free, or NotFound "find container x: no such container".
absl::StatusOr<PodPtr> FindPod(const Core& core, const std::string& id);
absl::StatusOr<ContainerPtr> FindContainer(const Core& core, const std::string& id);

}  // namespace berth::sandbox
