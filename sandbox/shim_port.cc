#include "sandbox/shim_port.h"

#include <utility>

#include "base/mutex.h"
#include "base/os/process.h"
#include "base/status_macros.h"

namespace berth::sandbox {
namespace {

class ClientShimPort : public ShimPort {
 public:
  ClientShimPort(shim::Launcher* launcher, std::string boot_id,
                 std::unique_ptr<shim::Watcher> watcher, std::unique_ptr<os::ProcessWatcher> inits)
      : launcher_(*launcher),
        boot_id_(std::move(boot_id)),
        watcher_(std::move(watcher)),
        inits_(std::move(inits)) {}

  absl::StatusOr<shim::ShimState> State(const ContainerId& id, Deadline deadline) override {
    return ClientOf(id).State(deadline);
  }
  absl::Status Start(const ContainerId& id, Deadline deadline) override {
    return ClientOf(id).Start(deadline);
  }
  absl::Status Signal(const ContainerId& id, int signo, Deadline deadline) override {
    return ClientOf(id).Signal(signo, deadline);
  }
  absl::Status KillAll(const ContainerId& id, Deadline deadline) override {
    return ClientOf(id).KillAll(deadline);
  }
  absl::StatusOr<shim::ExecOutput> ExecSync(const ContainerId& id,
                                            const shim::ExecOptions& options) override {
    return ClientOf(id).ExecSync(options);
  }
  absl::Status ReopenLog(const ContainerId& id, os::UniqueFd log, Deadline deadline) override {
    return ClientOf(id).ReopenLog(std::move(log), deadline);
  }
  absl::StatusOr<std::optional<shim::ExitRecord>> ReadExit(const ContainerId& id) override {
    return ClientOf(id).ReadExit(boot_id_);
  }
  absl::Status Watch(const ContainerId& id, Deadline deadline) override {
    ASSIGN_OR_RETURN(os::UniqueFd connection, ClientOf(id).Watch(deadline));
    MutexLock lock(&mu_);
    if (watcher_ == nullptr) return absl::UnavailableError("watch shim: the daemon is stopping");
    return watcher_->Add(id, std::move(connection));
  }
  void Unwatch(const ContainerId& id) override {
    MutexLock lock(&mu_);
    if (watcher_ != nullptr) watcher_->Remove(id);
  }
  absl::Status WatchInit(const SandboxId& id, pid_t pid, uint64_t start_time) override {
    ASSIGN_OR_RETURN(os::UniqueFd pidfd, os::OpenProcess(pid, start_time));
    if (os::IsDead(pid)) return absl::NotFoundError("pod init has ended");
    MutexLock lock(&mu_);
    if (inits_ == nullptr) return absl::UnavailableError("watch init: the daemon is stopping");
    return inits_->Add(id.str(), std::move(pidfd));
  }
  void UnwatchInit(const SandboxId& id) override {
    MutexLock lock(&mu_);
    if (inits_ != nullptr) inits_->Remove(id.str());
  }
  void StopEvents() override {
    std::unique_ptr<shim::Watcher> last;
    std::unique_ptr<os::ProcessWatcher> last_inits;
    {
      MutexLock lock(&mu_);
      last = std::move(watcher_);
      last_inits = std::move(inits_);
    }
    // Here, outside of the lock, their threads are joined.
  }

 private:
  shim::Client ClientOf(const ContainerId& id) const { return shim::Client(launcher_.RunDir(id)); }

  shim::Launcher& launcher_;
  const std::string boot_id_;
  Mutex mu_;  // held for a call that only queues
  std::unique_ptr<shim::Watcher> watcher_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<os::ProcessWatcher> inits_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<ShimPort>> MakeShimPort(shim::Launcher* launcher,
                                                       std::string boot_id,
                                                       shim::Watcher::Callback listener,
                                                       InitListener init_listener) {
  ASSIGN_OR_RETURN(std::unique_ptr<shim::Watcher> watcher,
                   shim::Watcher::Start(std::move(listener)));
  ASSIGN_OR_RETURN(
      std::unique_ptr<os::ProcessWatcher> inits,
      os::ProcessWatcher::Start([tell = std::move(init_listener)](const std::string& key) {
        tell(*SandboxId::Parse(key));  // put in as an id's text
      }));
  return std::make_unique<ClientShimPort>(launcher, std::move(boot_id), std::move(watcher),
                                          std::move(inits));
}

}  // namespace berth::sandbox
