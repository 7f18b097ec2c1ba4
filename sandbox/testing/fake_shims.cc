#include <filesystem>

#include "base/os/file.h"
#include "sandbox/testing/fakes.h"

namespace berth::sandbox::testing {

class FakeLauncher : public shim::Launcher {
 public:
  explicit FakeLauncher(FakeShims* shims) : shims_(*shims) {}

  absl::StatusOr<shim::Launched> Create(shim::Launch launch, Deadline) override {
    MutexLock lock(&shims_.mu_);
    if (!shims_.next_create_.ok()) return std::exchange(shims_.next_create_, absl::OkStatus());
    FakeShims::Shim& shim = shims_.shims_[launch.id.str()];
    shim.cgroups_path = launch.spec.linux_.cgroups_path;
    shim.trees = launch.mount_trees.size();
    shim.seccomp = launch.seccomp;
    for (const auto& [type, fd] : launch.namespaces) shim.joined.push_back(type);
    shims_.last_spec_ = std::move(launch.spec);
    std::error_code ignored;  // seen by the test as a missing directory
    std::filesystem::create_directories(RunDir(launch.id), ignored);
    return shim::Launched{100, 1, 101, 2};
  }
  absl::Status Remove(const ContainerId& id, const std::string&, Deadline) override {
    MutexLock lock(&shims_.mu_);
    // A new one: TSan does not see the reference count of a shared Status in Debian's Abseil.
    if (!shims_.removes_.ok()) {
      return absl::Status(shims_.removes_.code(), shims_.removes_.message());
    }
    shims_.shims_.erase(id.str());
    std::error_code ignored;
    std::filesystem::remove_all(RunDir(id), ignored);
    return absl::OkStatus();
  }
  absl::StatusOr<shim::PodInit> StartPodInit(shim::PodInitLaunch launch, Deadline) override {
    MutexLock lock(&shims_.mu_);
    if (!shims_.next_init_.ok()) return std::exchange(shims_.next_init_, absl::OkStatus());
    const pid_t pid = ++shims_.last_init_pid_;
    shims_.inits_[launch.cgroups_path] = pid;
    return shim::PodInit{pid, 7};
  }
  absl::Status RemovePodInit(const std::string& cgroups_path, Deadline) override {
    MutexLock lock(&shims_.mu_);
    shims_.inits_.erase(cgroups_path);
    return absl::OkStatus();
  }
  std::string RunDir(const ContainerId& id) const override {
    return shims_.run_dir_ + "/containers/" + id.str();
  }
  int holder_namespace() const override { return -1; }

 private:
  FakeShims& shims_;
};

class FakePort : public ShimPort {
 public:
  explicit FakePort(FakeShims* shims) : shims_(*shims) {}

  absl::StatusOr<shim::ShimState> State(const ContainerId& id, Deadline) override {
    return With<absl::StatusOr<shim::ShimState>>(id, [](FakeShims::Shim& s) {
      shim::ShimState state;
      state.phase = s.phase;
      state.exit = s.exit;
      return state;
    });
  }
  absl::Status Start(const ContainerId& id, Deadline) override {
    return With<absl::Status>(id, [&](FakeShims::Shim& s) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      if (!shims_.next_start_.ok()) return std::exchange(shims_.next_start_, absl::OkStatus());
      s.phase = shim::ShimPhase::kRunning;
      return absl::OkStatus();
    });
  }
  absl::Status Signal(const ContainerId& id, int signo, Deadline) override {
    bool ended = false;
    absl::Status done =
        With<absl::Status>(id, [&](FakeShims::Shim& s) ABSL_NO_THREAD_SAFETY_ANALYSIS {
          s.signals.push_back(signo);
          if (s.ignores_signals || s.exit.has_value()) return absl::OkStatus();
          shims_.EndLocked(s, 128 + signo, signo, false);
          ended = true;
          return absl::OkStatus();
        });
    if (ended) shims_.Tell(id.str(), shim::WatchEvent::kExited);
    return done;
  }
  absl::Status KillAll(const ContainerId& id, Deadline) override {
    bool ended = false;
    absl::Status done =
        With<absl::Status>(id, [&](FakeShims::Shim& s) ABSL_NO_THREAD_SAFETY_ANALYSIS {
          ++s.kills;
          if (s.exit.has_value()) return absl::OkStatus();
          shims_.EndLocked(s, 137, 9, false);
          ended = true;
          return absl::OkStatus();
        });
    if (ended) shims_.Tell(id.str(), shim::WatchEvent::kExited);
    return done;
  }
  absl::StatusOr<shim::ExecOutput> ExecSync(const ContainerId& id,
                                            const shim::ExecOptions& options) override {
    return With<absl::StatusOr<shim::ExecOutput>>(id, [&](FakeShims::Shim&) {
      return shim::ExecOutput{0, options.args[0], ""};
    });
  }
  absl::Status ReopenLog(const ContainerId& id, os::UniqueFd log, Deadline) override {
    return With<absl::Status>(
        id, [&](FakeShims::Shim&) { return os::WriteAll(log.get(), "reopened\n"); });
  }
  absl::StatusOr<std::optional<shim::ExitRecord>> ReadExit(const ContainerId& id) override {
    MutexLock lock(&shims_.mu_);
    const auto it = shims_.shims_.find(id.str());
    if (it == shims_.shims_.end()) return std::optional<shim::ExitRecord>();
    return it->second.exit;
  }
  absl::Status Watch(const ContainerId& id, Deadline) override {
    bool ended = false;
    absl::Status done = With<absl::Status>(id, [&](FakeShims::Shim& s) {
      s.watched = true;
      ended = s.exit.has_value();
      return absl::OkStatus();
    });
    if (ended) shims_.Tell(id.str(), shim::WatchEvent::kExited);
    return done;
  }
  void Unwatch(const ContainerId& id) override {
    MutexLock lock(&shims_.mu_);
    const auto it = shims_.shims_.find(id.str());
    if (it != shims_.shims_.end()) it->second.watched = false;
  }
  absl::Status WatchInit(const SandboxId& id, pid_t pid, uint64_t) override {
    MutexLock lock(&shims_.mu_);
    if (!shims_.HasInitLocked(pid)) return absl::NotFoundError("it has ended");
    shims_.watched_inits_.insert(id.str());
    return absl::OkStatus();
  }
  void UnwatchInit(const SandboxId& id) override {
    MutexLock lock(&shims_.mu_);
    shims_.watched_inits_.erase(id.str());
  }
  void StopEvents() override {
    MutexLock lock(&shims_.mu_);
    shims_.listener_ = nullptr;
    shims_.init_listener_ = nullptr;
    shims_.watched_inits_.clear();
    for (auto& [id, shim] : shims_.shims_) shim.watched = false;
  }

 private:
  template <typename Result, typename Body>
  Result With(const ContainerId& id, Body body) {
    MutexLock lock(&shims_.mu_);
    const auto it = shims_.shims_.find(id.str());
    if (it == shims_.shims_.end() || !it->second.alive) {
      return absl::UnavailableError("no shim answers");
    }
    if (it->second.mute) return absl::DeadlineExceededError("the shim did not answer in time");
    return body(it->second);
  }

  FakeShims& shims_;
};

std::unique_ptr<shim::Launcher> FakeShims::MakeLauncher() {
  return std::make_unique<FakeLauncher>(this);
}

std::unique_ptr<ShimPort> FakeShims::MakePort(shim::Watcher::Callback listener,
                                              InitListener inits) {
  MutexLock lock(&mu_);
  listener_ = std::move(listener);
  init_listener_ = std::move(inits);
  return std::make_unique<FakePort>(this);
}

FakeShims::Shim FakeShims::Get(const std::string& id) {
  MutexLock lock(&mu_);
  const auto it = shims_.find(id);
  return it == shims_.end() ? Shim{.alive = false} : it->second;
}

size_t FakeShims::Count() {
  MutexLock lock(&mu_);
  return shims_.size();
}

void FakeShims::Edit(const std::string& id, const std::function<void(Shim&)>& edit) {
  MutexLock lock(&mu_);
  edit(shims_[id]);
}

void FakeShims::EndLocked(Shim& shim, int code, int signal, bool oom) {
  shim.phase = shim::ShimPhase::kExited;
  shim.exit =
      shim::ExitRecord{code, signal, 4242, oom ? shim::OomLevel::kPod : shim::OomLevel::kNone};
}

void FakeShims::Exit(const std::string& id, int code, bool oom) {
  {
    MutexLock lock(&mu_);
    EndLocked(shims_[id], code, 0, oom);
  }
  Tell(id, shim::WatchEvent::kExited);
}

void FakeShims::Die(const std::string& id) {
  Edit(id, [](Shim& shim) { shim.alive = false; });
  Tell(id, shim::WatchEvent::kShimGone);
}

// Calls the listener under the lock: StopEvents returns when no call is under way.
void FakeShims::Tell(const std::string& id, shim::WatchEvent event) {
  MutexLock lock(&mu_);
  const auto it = shims_.find(id);
  if (listener_ == nullptr || it == shims_.end() || !it->second.watched) return;
  it->second.watched = false;
  listener_(*ContainerId::Parse(id), event);
}

void FakeShims::FailNextCreate(absl::Status error) {
  MutexLock lock(&mu_);
  next_create_ = std::move(error);
}

void FakeShims::FailNextStart(absl::Status error) {
  MutexLock lock(&mu_);
  next_start_ = std::move(error);
}

void FakeShims::FailRemoves(absl::Status error) {
  MutexLock lock(&mu_);
  removes_ = std::move(error);
}

void FakeShims::FailNextInit(absl::Status error) {
  MutexLock lock(&mu_);
  next_init_ = std::move(error);
}

bool FakeShims::HasInitLocked(pid_t pid) {
  for (const auto& [cgroup, init] : inits_) {
    if (init == pid) return true;
  }
  return false;
}

void FakeShims::EndInit(const std::string& pod) {
  MutexLock lock(&mu_);
  for (auto it = inits_.begin(); it != inits_.end(); ++it) {
    if (it->first.find("init-" + pod) == std::string::npos) continue;
    inits_.erase(it);
    break;
  }
  if (init_listener_ != nullptr && watched_inits_.erase(pod) > 0) {
    init_listener_(*SandboxId::Parse(pod));
  }
}

std::map<std::string, pid_t> FakeShims::inits() {
  MutexLock lock(&mu_);
  return inits_;
}

shim::oci::Spec FakeShims::last_spec() {
  MutexLock lock(&mu_);
  return last_spec_;
}

}  // namespace berth::sandbox::testing
