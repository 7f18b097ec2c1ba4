#include <stdlib.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "sandbox/paths.h"
#include "sandbox/pod_init.h"
#include "sandbox/testing/fakes.h"

namespace berth::sandbox::testing {
namespace {

namespace fs = std::filesystem;

// The core owns its port; the host's state outlives it.
class HostFront : public HostPort {
 public:
  explicit HostFront(std::shared_ptr<FakeHost> host) : host_(std::move(host)) {}
  absl::Status PinNamespaces(const std::string& pod, const os::PodNamespaceOptions& o) override {
    return host_->PinNamespaces(pod, o);
  }
  absl::Status UnpinNamespaces(const PinnedPod& pod) override {
    return host_->UnpinNamespaces(pod);
  }
  absl::StatusOr<os::PodNamespaces> OpenNamespaces(const PinnedPod& pod) override {
    return host_->OpenNamespaces(pod);
  }
  std::vector<std::string> PinnedPods() override { return host_->PinnedPods(); }
  bool IsNetworkPinned(const std::string& path) override { return host_->IsNetworkPinned(path); }
  absl::StatusOr<os::UniqueFd> OpenPidNamespace(pid_t pid, uint64_t start_time) override {
    return host_->OpenPidNamespace(pid, start_time);
  }
  std::vector<std::string> MissingCgroups(const std::string& path) override {
    return host_->MissingCgroups(path);
  }
  absl::Status CreateCgroup(const std::string& path) override { return host_->CreateCgroup(path); }
  absl::Status KillCgroup(const std::string& path, Deadline d) override {
    return host_->KillCgroup(path, d);
  }
  absl::Status RemoveCgroup(const std::string& path, const std::vector<std::string>& made,
                            Deadline d) override {
    return host_->RemoveCgroup(path, made, d);
  }
  std::vector<std::string> ListCgroups(const std::string& path) override {
    return host_->ListCgroups(path);
  }
  std::string FindCgroup(const std::string& name) override { return host_->FindCgroup(name); }
  absl::StatusOr<os::DetachedMount> CloneTree(const std::string& path) override {
    return host_->CloneTree(path);
  }
  absl::StatusOr<std::vector<shim::oci::Device>> Devices() override { return host_->Devices(); }

 private:
  const std::shared_ptr<FakeHost> host_;
};

std::string MakeTempDir() {
  char name[] = "/tmp/berth-sandbox-test-XXXXXX";
  if (mkdtemp(name) == nullptr) abort();
  return name;
}

image::Image Busybox() {
  image::Image image{*Digest::FromSha256Hex(std::string(64, 'a'))};
  image.repo_tags = {"docker.io/library/busybox:latest"};
  image.repo_digests = {absl::StrCat("docker.io/library/busybox@sha256:", std::string(64, 'b'))};
  image.size = 4096;
  image.config.cmd = {"sh"};
  image.config.env = {"IMAGE=yes"};
  image.layers = {*Digest::FromSha256Hex(std::string(64, 'c'))};
  return image;
}

absl::StatusOr<image::ResolvedUser> ResolveNobody(const std::vector<std::string>&,
                                                  absl::string_view user) {
  image::ResolvedUser resolved;
  if (user == "ghost") return absl::InvalidArgumentError("resolve user ghost: not in /etc/passwd");
  if (user == "nobody") {
    resolved.uid = resolved.gid = 65534;
    resolved.home = "/home/nobody";
    resolved.groups = {50000};
  }
  return resolved;
}

}  // namespace

World::World()
    : dir_(MakeTempDir()),
      shims_(dir_ + "/run"),
      store_(store::MakeMemoryStore()),
      launcher_(shims_.MakeLauncher()),
      host_state_(std::make_shared<FakeHost>()) {
  host_ = host_state_.get();
  options.data_dir = dir_ + "/data";
  options.run_dir = dir_ + "/run";
  options.cgroup_root = "/berth";
  options.seccomp = &seccomp_;
  options.create_timeout = absl::Seconds(20);
  options.kill_timeout = absl::Seconds(20);
  images_.Put(Busybox());
  host_->AddCgroup("/berth/shims");
  Restart();
}

World::~World() {
  core_.reset();
  std::error_code ignored;  // a test's directory below /tmp
  fs::remove_all(dir_, ignored);
}

void World::Restart() {
  core_.reset();
  images_.ForgetHolds();
  HostFacts facts;
  facts.boot_id = boot_id;
  facts.hostname = "node";
  facts.capabilities = (uint64_t{1} << 41) - 1;
  facts.lowest_oom_score_adj = 0;
  facts.has_user_namespaces = true;
  core_ = std::make_unique<Core>(options, facts,
                                 Collaborators{store_.get(), &images_, launcher_.get(), &network_},
                                 std::make_unique<HostFront>(host_state_), ResolveNobody);
  core_->resources = resources_.MakePort();
  core_->shims = shims_.MakePort(
      [core = core_.get()](const ContainerId& id, shim::WatchEvent event) {
        OnShimEvent(*core, id, event);
      },
      [core = core_.get()](const SandboxId& id) { OnInitEnd(*core, id); });
  if (!Reconcile(*core_).ok()) abort();
}

cri::PodSandboxConfig World::PodConfig(const std::string& name) {
  cri::PodSandboxConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_namespace_("default");
  config.mutable_metadata()->set_uid("uid-" + name);
  cri::NamespaceOption* options =
      config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options->set_network(cri::NODE);
  options->set_pid(cri::CONTAINER);
  return config;
}

cri::ContainerConfig World::ContainerConfig(const std::string& name) {
  cri::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image("docker.io/library/busybox:latest");
  return config;
}

absl::StatusOr<std::string> World::Run(const cri::PodSandboxConfig& config) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  ASSIGN_OR_RETURN(const cri::RunPodSandboxResponse response, RunPodSandbox(core(), request));
  return response.pod_sandbox_id();
}

absl::StatusOr<std::string> World::Create(const std::string& pod,
                                          const cri::ContainerConfig& config) {
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_config() = config;
  ASSIGN_OR_RETURN(const cri::CreateContainerResponse response, CreateContainer(core(), request));
  return response.container_id();
}

absl::Status World::Start(const std::string& container) {
  cri::StartContainerRequest request;
  request.set_container_id(container);
  return StartContainer(core(), request);
}

absl::Status World::StopIn(const std::string& container, int64_t seconds) {
  cri::StopContainerRequest request;
  request.set_container_id(container);
  request.set_timeout(seconds);
  return StopContainer(core(), request);
}

absl::Status World::Remove(const std::string& container) {
  cri::RemoveContainerRequest request;
  request.set_container_id(container);
  return RemoveContainer(core(), request);
}

cri::ContainerStatus World::Status(const std::string& container) {
  cri::ContainerStatusRequest request;
  request.set_container_id(container);
  const absl::StatusOr<cri::ContainerStatusResponse> response = ContainerStatus(core(), request);
  return response.ok() ? response->status() : cri::ContainerStatus();
}

cri::PodSandboxStatus World::PodStatus(const std::string& pod) {
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  const absl::StatusOr<cri::PodSandboxStatusResponse> response = PodSandboxStatus(core(), request);
  return response.ok() ? response->status() : cri::PodSandboxStatus();
}

bool World::AwaitReleased(const std::string& container) {
  const ContainerPtr found = core().containers.Find(container);
  return found != nullptr &&
         found->cell.WaitUntil(
             [](const ContainerView& view) { return view.ended() && view.record.released(); },
             Deadline::After(absl::Seconds(10)));
}

bool World::AwaitClean() {
  const Deadline deadline = Deadline::After(absl::Seconds(10));
  while (!Leaks().empty() && !deadline.Expired()) absl::SleepFor(absl::Milliseconds(2));
  return Leaks().empty();
}

std::vector<std::string> World::Leaks() {
  std::vector<std::string> leaks;
  for (const char* kind : {kSandboxKind, kContainerKind}) {
    const absl::StatusOr<std::vector<store::Record>> records = store_->Load(kind);
    for (const store::Record& record : records.value()) {
      leaks.push_back(absl::StrCat(kind, " record ", record.id));
    }
  }
  for (const std::string& pin : host_->pins()) leaks.push_back("pin " + pin);
  for (const std::string& cgroup : host_->cgroups()) {
    if (cgroup != "/berth" && cgroup != "/berth/shims") leaks.push_back("cgroup " + cgroup);
  }
  for (const auto& [cgroup, pid] : shims_.inits()) leaks.push_back("pod init in " + cgroup);
  for (const std::string& id : network_.Attached()) leaks.push_back("attachment " + id);
  for (const auto& [holder, layers] : images_.held()) leaks.push_back("held layers " + holder);
  if (shims_.Count() > 0) leaks.push_back(absl::StrCat(shims_.Count(), " shims"));
  for (const std::string& dir :
       {paths::PodDirs(options), paths::ContainerDirs(options), paths::RunDirs(options)}) {
    std::error_code ignored;  // an absent directory holds nothing
    for (const fs::directory_entry& entry : fs::directory_iterator(dir, ignored)) {
      leaks.push_back("path " + entry.path().string());
    }
  }
  return leaks;
}

}  // namespace berth::sandbox::testing
