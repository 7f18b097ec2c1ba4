// Stateful fakes of what sandbox/ works with, and a world that joins them with a Core and a real
// temporary directory. For tests only. Fakes are thread-safe.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "sandbox/core.h"
#include "sandbox/testing/fake_resources.h"
#include "sandbox/verbs.h"

namespace berth::sandbox::testing {

// Shims as a table: what a container's shim would do and say. Serves both as the launcher and as
// the port to running shims.
class FakeShims {
 public:
  struct Shim {
    shim::ShimPhase phase = shim::ShimPhase::kCreated;
    std::optional<shim::ExitRecord> exit;
    bool alive = true;  // answers
    bool mute = false;  // alive and does not answer
    bool watched = false;
    std::vector<int> signals;
    int kills = 0;
    bool ignores_signals = false;
    std::string cgroups_path;
    size_t trees = 0;
    shim::SeccompFilter seccomp;
    std::vector<shim::oci::NamespaceType> joined;
  };

  explicit FakeShims(std::string run_dir) : run_dir_(std::move(run_dir)) {}

  std::unique_ptr<shim::Launcher> MakeLauncher();
  std::unique_ptr<ShimPort> MakePort(shim::Watcher::Callback listener, InitListener inits);

  // What the test looks at and steers with.
  Shim Get(const std::string& id);
  size_t Count();
  void Edit(const std::string& id, const std::function<void(Shim&)>& edit);
  // The container ends by itself: the record is written, then told.
  void Exit(const std::string& id, int code, bool oom = false);
  // The shim dies without a word.
  void Die(const std::string& id);
  void FailNextCreate(absl::Status error);
  void FailNextStart(absl::Status error);
  void FailRemoves(absl::Status error);  // until OK is given
  void FailNextInit(absl::Status error);
  // A pod's init ends by itself.
  void EndInit(const std::string& pod);
  std::map<std::string, pid_t> inits();  // of pods: cgroup -> pid
  shim::oci::Spec last_spec();
  const std::string& run_dir() const { return run_dir_; }

 private:
  friend class FakeLauncher;
  friend class FakePort;
  void EndLocked(Shim& shim, int code, int signal, bool oom) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Tell(const std::string& id, shim::WatchEvent event);
  bool HasInitLocked(pid_t pid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string run_dir_;
  Mutex mu_;
  std::map<std::string, Shim> shims_ ABSL_GUARDED_BY(mu_);
  // Outlives its shim's process, not its removal.
  shim::Watcher::Callback listener_ ABSL_GUARDED_BY(mu_);
  absl::Status next_create_ ABSL_GUARDED_BY(mu_);
  absl::Status next_start_ ABSL_GUARDED_BY(mu_);
  absl::Status removes_ ABSL_GUARDED_BY(mu_);
  absl::Status next_init_ ABSL_GUARDED_BY(mu_);
  InitListener init_listener_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> watched_inits_ ABSL_GUARDED_BY(mu_);  // of pods, by id
  pid_t last_init_pid_ ABSL_GUARDED_BY(mu_) = 200;
  std::map<std::string, pid_t> inits_ ABSL_GUARDED_BY(mu_);
  shim::oci::Spec last_spec_ ABSL_GUARDED_BY(mu_);
};

class FakeHost : public HostPort {
 public:
  absl::Status PinNamespaces(const std::string& pod,
                             const os::PodNamespaceOptions& options) override;
  absl::Status UnpinNamespaces(const PinnedPod& pod) override;
  absl::StatusOr<os::PodNamespaces> OpenNamespaces(const PinnedPod& pod) override;
  std::vector<std::string> PinnedPods() override;
  bool IsNetworkPinned(const std::string& network_path) override;
  absl::StatusOr<os::UniqueFd> OpenPidNamespace(pid_t pid, uint64_t start_time) override;
  std::vector<std::string> MissingCgroups(const std::string& path) override;
  absl::Status CreateCgroup(const std::string& path) override;
  absl::Status KillCgroup(const std::string& path, Deadline deadline) override;
  absl::Status RemoveCgroup(const std::string& path, const std::vector<std::string>& made,
                            Deadline deadline) override;
  std::vector<std::string> ListCgroups(const std::string& path) override;
  std::string FindCgroup(const std::string& name) override;
  absl::StatusOr<os::DetachedMount> CloneTree(const std::string& path) override;
  absl::StatusOr<std::vector<shim::oci::Device>> Devices() override;

  std::set<std::string> pins();
  std::set<std::string> cgroups();
  std::vector<std::string> killed();
  void AddCgroup(const std::string& path);
  void AddPin(const std::string& pod);
  os::PodNamespaceOptions last_pin();   // what the last pod was made with
  void FailUnpins(absl::Status error);  // until OK is given

 private:
  Mutex mu_;
  std::set<std::string> pins_ ABSL_GUARDED_BY(mu_);  // pods, and paths of network pins
  os::PodNamespaceOptions last_pin_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> cgroups_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> killed_ ABSL_GUARDED_BY(mu_);
  absl::Status unpins_ ABSL_GUARDED_BY(mu_);
};

// Plugins that remember whom they attached: 10.0.0.<n>.
class FakeNetwork : public cni::Network {
 public:
  absl::Status Ready() const override;
  absl::StatusOr<cni::Attachment> Attach(const cni::AttachRequest& request,
                                         Deadline deadline) override;
  absl::Status Detach(const std::string& id, const std::string& netns_path,
                      Deadline deadline) override;
  std::vector<std::string> Attached() const override;

  void SetReady(absl::Status ready);
  // Until OK is given. An ADD that fails has left its half.
  void FailAttach(absl::Status error);
  void FailDetach(absl::Status error);
  void AddAttached(const std::string& id);
  cni::AttachRequest last_request();
  std::vector<std::string> detached_from();  // netns path of each DEL

 private:
  mutable Mutex mu_;
  int count_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<std::string> attached_ ABSL_GUARDED_BY(mu_);
  absl::Status ready_ ABSL_GUARDED_BY(mu_);
  absl::Status attaches_ ABSL_GUARDED_BY(mu_);
  absl::Status detaches_ ABSL_GUARDED_BY(mu_);
  cni::AttachRequest last_request_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> detached_from_ ABSL_GUARDED_BY(mu_);
};

class FakeImages : public image::ImageStore {
 public:
  void Put(image::Image image);
  std::map<std::string, std::vector<Digest>> held();
  int collections();
  void ForgetHolds();  // as a new process does

  absl::StatusOr<std::vector<image::ImagePtr>> Import(os::UniqueFd archive,
                                                      const image::ImportOptions& options) override;
  absl::Status ImportDirectory(const std::string& directory) override;
  absl::StatusOr<image::ImagePtr> Pull(const image::PullOptions& options,
                                       const Cancel& cancel) override;
  std::vector<image::PullStatus> Pulls() const override { return {}; }
  std::vector<image::ImagePtr> List() const override;
  image::ImagePtr Find(absl::string_view reference) const override;
  absl::Status Remove(absl::string_view reference) override;
  absl::StatusOr<image::FsUsage> Usage() const override;
  absl::Status Hold(const std::string& holder, const std::vector<Digest>& layers) override;
  void Unhold(const std::string& holder) override;
  absl::Status CollectGarbage() override;
  std::vector<std::string> LowerPaths(const std::vector<Digest>& layers) const override;

 private:
  mutable Mutex mu_;
  std::map<std::string, image::ImagePtr> images_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::vector<Digest>> held_ ABSL_GUARDED_BY(mu_);
  int collections_ ABSL_GUARDED_BY(mu_) = 0;
};

class FakeSeccomp : public SeccompSource {
 public:
  absl::StatusOr<shim::SeccompFilter> FilterFor(uint64_t capabilities) override;
  absl::StatusOr<shim::SeccompFilter> FilterFromFile(const std::string& path,
                                                     uint64_t capabilities) override;
};

// A host with one image, "busybox", and a daemon that can be killed and started again.
class World {
 public:
  World();
  ~World();

  // A new Core over the same host, store and shims; the old one is gone first.
  void Restart();
  void Stop() { core_.reset(); }

  Core& core() { return *core_; }
  FakeShims& shims() { return shims_; }
  FakeHost& host() { return *host_; }
  FakeImages& images() { return images_; }
  FakeNetwork& network() { return network_; }
  // Waits until nothing is left.
  bool AwaitClean();
  FakeResources& resources() { return resources_; }
  store::Store& store() { return *store_; }
  const std::string& dir() const { return dir_; }
  std::string boot_id = "boot-1";
  RuntimeOptions options;

  static cri::PodSandboxConfig PodConfig(const std::string& name);
  static cri::ContainerConfig ContainerConfig(const std::string& name);
  absl::StatusOr<std::string> Run(const cri::PodSandboxConfig& config);
  absl::StatusOr<std::string> Create(const std::string& pod, const cri::ContainerConfig& config);
  absl::Status Start(const std::string& container);
  absl::Status StopIn(const std::string& container, int64_t seconds);
  absl::Status Remove(const std::string& container);
  cri::ContainerStatus Status(const std::string& container);
  cri::PodSandboxStatus PodStatus(const std::string& pod);
  // Waits until the container is seen as ended and its remains are gone.
  bool AwaitReleased(const std::string& container);

  // Everything in Berth's name on the host, one line each: empty when nothing leaked.
  std::vector<std::string> Leaks();

 private:
  std::string dir_;
  FakeShims shims_;
  FakeImages images_;
  FakeNetwork network_;
  FakeSeccomp seccomp_;
  FakeResources resources_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<shim::Launcher> launcher_;
  FakeHost* host_ = nullptr;  // the current core's front to host_state_
  std::shared_ptr<FakeHost> host_state_;
  std::unique_ptr<Core> core_;
};

}  // namespace berth::sandbox::testing
