#include "server/daemon.h"

#include <grpcpp/impl/codegen/service_type.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/os/cgroup.h"
#include "base/os/file.h"
#include "base/os/pod_namespaces.h"
#include "base/status_macros.h"
#include "base/store/store.h"
#include "cni/network.h"
#include "image/image_store.h"
#include "sandbox/runtime.h"
#include "server/admin_service.h"
#include "server/cri_services.h"
#include "server/edge.h"
#include "server/host_checks.h"
#include "server/rpc_server.h"
#include "server/seccomp_programs.h"
#include "server/socket_group.h"
#include "server/state_dir.h"
#include "shim/launcher.h"

namespace berth::server {
namespace {

image::ImageStore::Options ImageOptions(const Config& config) {
  image::ImageStore::Options options;
  options.data_dir = config.data_dir;
  options.worker_path = config.image.worker_path;
  options.max_layer_bytes = static_cast<uint64_t>(config.image.layer_limit_bytes);
  options.import_timeout = config.image.import_timeout;
  options.registry_hosts_dir = config.image.registry_hosts_dir;
  options.pull_parallel_layers = static_cast<uint32_t>(config.image.pull_parallel_layers);
  options.pull_max_concurrent = static_cast<size_t>(config.image.pull_max_concurrent);
  options.pull_no_progress_timeout = config.image.pull_no_progress_timeout;
  return options;
}

shim::Launcher::Options LauncherOptions(const Config& config) {
  shim::Launcher::Options options;
  options.shim_path = config.runtime.shim_path;
  options.data_dir = config.data_dir;
  options.run_dir = config.run_dir;
  options.cgroup_root = config.runtime.cgroup_root;
  return options;
}

cni::Network::Options NetworkOptions(const Config& config) {
  cni::Network::Options options;
  options.conf_dir = config.network.conf_dir;
  options.bin_dirs = config.network.BinDirs();
  options.plugin_timeout = config.network.plugin_timeout;
  return options;
}

sandbox::RuntimeOptions SandboxOptions(const Config& config, const FileLimit& files,
                                       sandbox::SeccompSource* seccomp) {
  sandbox::RuntimeOptions options;
  options.data_dir = config.data_dir;
  options.run_dir = config.run_dir;
  options.netns_dir = config.network.netns_dir;
  options.cgroup_root = config.runtime.cgroup_root;
  options.default_runtime_handler = config.runtime.default_handler;
  options.shm_bytes = static_cast<uint64_t>(config.runtime.shm_bytes);
  options.volatile_overlays = config.runtime.volatile_overlays;
  options.log_limits = {static_cast<uint64_t>(config.container_log.max_bytes),
                        static_cast<uint64_t>(config.container_log.rate_bytes_per_second),
                        static_cast<uint64_t>(config.container_log.burst_bytes)};
  options.create_timeout = config.runtime.create_timeout;
  options.kill_timeout = config.runtime.kill_timeout;
  if (files.hard != 0) {
    options.default_rlimits.push_back({"RLIMIT_NOFILE", files.hard, files.soft});
  }
  options.seccomp = seccomp;
  return options;
}

RuntimeFacts GatherFacts(const Config& config, const StateDir& data, const os::CgroupHost& host) {
  RuntimeFacts facts;
  facts.data_dir = config.data_dir;
  facts.run_dir = config.run_dir;
  facts.data_dir_id = data.id();
  facts.import_dir = config.ImportDir();
  facts.default_handler = config.runtime.default_handler;
  facts.cgroup_root = config.runtime.cgroup_root;
  facts.cgroup_layout = CgroupLayoutName(host.layout());
  facts.cgroup_controllers = LimitingControllers(host);
  facts.kernel_release = KernelRelease();
  facts.shim_source = ShimSource();
  facts.start_wall_nanos = WallNanos();
  return facts;
}

// How long each step of the start took, for the one line that says it is done.
class Stopwatch {
 public:
  std::string Lap() {
    const int64_t now = MonotonicNanos();
    return absl::StrCat((now - std::exchange(last_, now)) / 1000000);
  }
  std::string Total() const { return absl::StrCat((MonotonicNanos() - began_) / 1000000); }

 private:
  const int64_t began_ = MonotonicNanos();
  int64_t last_ = began_;
};

}  // namespace

// In the order of construction; destroyed in reverse.
struct Daemon::Parts {
  Parts(const Config& c, StateDir data_dir, StateDir run_dir, os::CgroupHost host)
      : config(c),
        data(std::move(data_dir)),
        run(std::move(run_dir)),
        cgroups(std::move(host)),
        facts(GatherFacts(c, data, cgroups)),
        metrics(facts.start_wall_nanos) {}

  absl::Status StartDomain();
  void ImportAtStart();
  absl::Status OpenSockets();
  void LeaveNothing() const;

  const Config& config;
  StateDir data;
  StateDir run;
  const os::CgroupHost cgroups;
  const RuntimeFacts facts;
  Metrics metrics;
  gid_t socket_group = 0;
  FileLimit file_limit;
  Stopwatch watch;
  std::string store_ms, images_ms, runtime_ms, import_ms;

  std::unique_ptr<store::Store> store;
  std::unique_ptr<sandbox::SeccompSource> seccomp;
  std::unique_ptr<image::ImageStore> images;
  std::unique_ptr<shim::Launcher> launcher;
  std::unique_ptr<cni::Network> network;
  std::unique_ptr<sandbox::Runtime> runtime;
  std::unique_ptr<Edge> edge;
  std::vector<std::unique_ptr<grpc::Service>> services;
  std::unique_ptr<RpcServer> admin_server;
  std::unique_ptr<RpcServer> cri_server;
};

absl::Status Daemon::Parts::StartDomain() {
  ASSIGN_OR_RETURN_CTX(store, store::Store::Open(config.data_dir + "/berth.db"), "open records");
  store_ms = watch.Lap();
  ASSIGN_OR_RETURN_CTX(images, image::ImageStore::Open(ImageOptions(config), store.get()),
                       "open image store");
  images_ms = watch.Lap();
  ASSIGN_OR_RETURN(seccomp, OpenSeccompPrograms(config.data_dir + "/seccomp"));
  ASSIGN_OR_RETURN_CTX(launcher, shim::Launcher::Open(LauncherOptions(config), cgroups),
                       "open shim launcher");
  ASSIGN_OR_RETURN_CTX(network, cni::Network::Open(NetworkOptions(config), store.get()),
                       "open network");
  ASSIGN_OR_RETURN_CTX(
      runtime,
      sandbox::Runtime::Start(SandboxOptions(config, file_limit, seccomp.get()), cgroups,
                              store.get(), images.get(), launcher.get(), network.get()),
      "start runtime");
  runtime_ms = watch.Lap();
  return absl::OkStatus();
}

// Whatever is wrong with the directory, pods that run must be seen again: the socket opens.
void Daemon::Parts::ImportAtStart() {
  const absl::Status imported = images->ImportDirectory(config.ImportDir());
  if (!imported.ok()) {
    LogError("cannot read the import directory",
             {{"directory", config.ImportDir()}, {"error", imported.message()}});
  }
  // The runtime holds the layers of its containers by now.
  if (absl::Status s = images->CollectGarbage(); !s.ok()) {
    LogWarning("cannot delete unused layers", {{"error", s.message()}});
  }
  import_ms = watch.Lap();
}

absl::Status Daemon::Parts::OpenSockets() {
  edge = std::make_unique<Edge>(config.server, &metrics);
  services.push_back(MakeRuntimeService(edge.get(), runtime.get(), &facts));
  services.push_back(MakeImageService(edge.get(), images.get(), &facts));
  services.push_back(MakeAdminService(
      {edge.get(), &metrics, runtime.get(), images.get(), &cgroups, &config, &facts}));
  ASSIGN_OR_RETURN(SocketPath admin, SocketPath::Prepare(config.AdminSocket(), 0600, 0));
  ASSIGN_OR_RETURN(SocketPath cri, SocketPath::Prepare(config.CriSocket(), 0660, socket_group));
  ASSIGN_OR_RETURN(admin_server, RpcServer::Start(std::move(admin), {services[2].get()}));
  ASSIGN_OR_RETURN(cri_server,
                   RpcServer::Start(std::move(cri), {services[0].get(), services[1].get()}));
  return absl::OkStatus();
}

// A daemon that leaves nothing running leaves no cgroup and no mount either.
void Daemon::Parts::LeaveNothing() const {
  const sandbox::RuntimeCounts counts = runtime->Counts();
  if (counts.sandboxes + counts.containers > 0) return;
  const absl::Status left =
      cgroups.Remove(config.runtime.cgroup_root, Deadline::After(absl::Seconds(2)));
  if (!left.ok()) LogWarning("cannot remove cgroup", {{"error", left.message()}});
  if (const absl::Status s = os::PinTable::Remove(config.run_dir); !s.ok()) {
    LogWarning("cannot remove the table of pinned namespaces", {{"error", s.message()}});
  }
}

Daemon::Daemon(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Daemon::~Daemon() = default;

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const Config& config,
                                                      const FileLimit& file_limit) {
  RETURN_IF_ERROR(CheckKernel(KernelRelease()));
  ASSIGN_OR_RETURN(const gid_t group, ResolveGroup(config.server.cri_socket_group));
  ASSIGN_OR_RETURN(StateDir data, StateDir::Claim(config.data_dir, "data", 0700, 0));
  // The group must be able to walk to the socket, and to nothing else: everything below is 0700.
  ASSIGN_OR_RETURN(StateDir run,
                   StateDir::Claim(config.run_dir, "run", group == 0 ? 0700 : 0710, group));
  ASSIGN_OR_RETURN_CTX(os::CgroupHost cgroups, os::CgroupHost::Probe(), "probe cgroups");
  auto parts = std::make_unique<Parts>(config, std::move(data), std::move(run), std::move(cgroups));
  parts->socket_group = group;
  parts->file_limit = file_limit;
  RETURN_IF_ERROR(parts->StartDomain());
  parts->ImportAtStart();
  RETURN_IF_ERROR(parts->OpenSockets());
  const sandbox::RuntimeCounts counts = parts->runtime->Counts();
  LogInfo("ready", {{"version", BERTH_VERSION},
                    {"cri_socket", config.CriSocket()},
                    {"pods", counts.sandboxes},
                    {"containers", counts.containers},
                    {"running", counts.running},
                    {"images", parts->images->List().size()},
                    {"store_ms", parts->store_ms},
                    {"images_ms", parts->images_ms},
                    {"runtime_ms", parts->runtime_ms},
                    {"import_ms", parts->import_ms},
                    {"total_ms", parts->watch.Total()}});
  return std::unique_ptr<Daemon>(new Daemon(std::move(parts)));
}

bool Daemon::Stop() {
  const Deadline deadline = Deadline::After(parts_->config.server.shutdown_grace);
  // Calls that wait longest are waited for least: a stop's grace period outlasts any shutdown, and
  // is told again after the restart.
  parts_->cri_server->Shutdown(deadline);
  parts_->admin_server->Shutdown(deadline);
  if (parts_->edge->Drain(deadline)) {
    parts_->LeaveNothing();
    return true;
  }
  LogWarning("calls are left under way", {{"calls", parts_->edge->in_flight()}});
  return false;
}

}  // namespace berth::server
