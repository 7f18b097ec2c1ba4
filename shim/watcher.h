// Watcher: one epoll thread that owns the watch connections of all live shims.
// Thread-safe. Callbacks run on the watcher's thread: they must be short and never block.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "base/os/spawn.h"
#include "base/os/unique_fd.h"

namespace berth::shim {

enum class WatchEvent {
  kExited,    // the shim says the container has ended: its exit record is on disk
  kShimGone,  // the connection hung up without that word
};

class Watcher {
 public:
  using Callback = std::function<void(const ContainerId&, WatchEvent)>;

  static absl::StatusOr<std::unique_ptr<Watcher>> Start(Callback callback);
  // Stops and joins the thread; connections are closed, shims live on.
  virtual ~Watcher() = default;

  // Takes a connection from Client::Watch. One event follows, then it is forgotten.
  virtual absl::Status Add(const ContainerId& id, os::UniqueFd connection) = 0;
  // Forgets it without an event. Unknown is fine.
  virtual void Remove(const ContainerId& id) = 0;
};

}  // namespace berth::shim
