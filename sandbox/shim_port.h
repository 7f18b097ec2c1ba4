// ShimPort: what sandbox/ asks of running shims, so that lifecycle logic is tested without one.
// The real one (shim_port.cc) is shim::Client and shim::Watcher. Errors as in shim/client.h.
// Implementations are thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/os/process_watcher.h"
#include "shim/client.h"
#include "shim/launcher.h"
#include "shim/watcher.h"

namespace berth::sandbox {

class ShimPort {
 public:
  virtual ~ShimPort() = default;

  virtual absl::StatusOr<shim::ShimState> State(const ContainerId& id, Deadline deadline) = 0;
  virtual absl::Status Start(const ContainerId& id, Deadline deadline) = 0;
  virtual absl::Status Signal(const ContainerId& id, int signo, Deadline deadline) = 0;
  virtual absl::Status KillAll(const ContainerId& id, Deadline deadline) = 0;
  virtual absl::StatusOr<shim::ExecOutput> ExecSync(const ContainerId& id,
                                                    const shim::ExecOptions& options) = 0;
  virtual absl::Status ReopenLog(const ContainerId& id, os::UniqueFd log, Deadline deadline) = 0;
  virtual absl::StatusOr<std::optional<shim::ExitRecord>> ReadExit(const ContainerId& id) = 0;

  // From now on one event of this container reaches the listener.
  virtual absl::Status Watch(const ContainerId& id, Deadline deadline) = 0;
  virtual void Unwatch(const ContainerId& id) = 0;
  // From now on the end of this pod's init reaches the other listener. NotFound: it has ended.
  virtual absl::Status WatchInit(const SandboxId& id, pid_t pid, uint64_t start_time) = 0;
  virtual void UnwatchInit(const SandboxId& id) = 0;
  // The listeners are not called any more once this returns; Watch then fails.
  virtual void StopEvents() = 0;
};

using InitListener = std::function<void(const SandboxId&)>;

// The listeners run on the watchers' threads: short, never blocking. `launcher` is not owned.
absl::StatusOr<std::unique_ptr<ShimPort>> MakeShimPort(shim::Launcher* launcher,
                                                       std::string boot_id,
                                                       shim::Watcher::Callback listener,
                                                       InitListener init_listener);

}  // namespace berth::sandbox
