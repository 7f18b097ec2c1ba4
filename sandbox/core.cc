#include "sandbox/core.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace berth::sandbox {
namespace {

WorkerPool::Options Pool(std::string name, size_t threads) {
  WorkerPool::Options options;
  options.name = std::move(name);
  options.max_threads = threads;
  options.max_queue = 1 << 16;  // one task a container at most, and pid_max bounds those
  return options;
}

}  // namespace

Core::Core(RuntimeOptions runtime_options, HostFacts host_facts, Collaborators borrowed,
           std::unique_ptr<HostPort> host_port, UserResolver user_resolver)
    : options(std::move(runtime_options)),
      facts(std::move(host_facts)),
      store(*borrowed.store),
      images(*borrowed.images),
      launcher(*borrowed.launcher),
      network(*borrowed.network),
      host(std::move(host_port)),
      resolve_user(std::move(user_resolver)),
      trash(Pool("trash", 1)),
      measures(Pool("measure", 1)),
      detaches(Pool("detaches", 8)),
      releases(Pool("releases", 8)),
      exits(Pool("exits", 4)) {}

Core::~Core() {
  stopping = true;
  if (shims != nullptr) shims->StopEvents();
}

const std::string& Core::DataMountPoint() {
  std::call_once(data_mount_once_, [this] {
    const absl::StatusOr<image::FsUsage> usage = images.Usage();
    // A directory on the file system meant says the same to who resolves it.
    data_mount_ = usage.ok() ? usage->mountpoint : options.data_dir;
  });
  return data_mount_;
}

absl::StatusOr<PodPtr> FindPod(const Core& core, const std::string& id) {
  if (id.empty()) return absl::InvalidArgumentError("pod_sandbox_id: must not be empty");
  PodPtr pod = core.pods.Find(id);
  if (pod == nullptr || !pod->view()->listed()) {
    return absl::NotFoundError(absl::StrCat("find pod sandbox ", id, ": no such pod sandbox"));
  }
  return pod;
}

absl::StatusOr<ContainerPtr> FindContainer(const Core& core, const std::string& id) {
  if (id.empty()) return absl::InvalidArgumentError("container_id: must not be empty");
  ContainerPtr container = core.containers.Find(id);
  if (container == nullptr || !container->view()->listed()) {
    return absl::NotFoundError(absl::StrCat("find container ", id, ": no such container"));
  }
  return container;
}

}  // namespace berth::sandbox
