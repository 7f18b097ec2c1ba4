#include "sandbox/object_store.h"

namespace berth::sandbox {

std::vector<ContainerPtr> ContainersOf(const ContainerStore& containers, const SandboxId& pod) {
  std::vector<ContainerPtr> of_pod;
  for (ContainerPtr& container : containers.All()) {
    if (container->view()->record.sandbox_id() == pod.str()) of_pod.push_back(std::move(container));
  }
  return of_pod;
}

}  // namespace berth::sandbox
