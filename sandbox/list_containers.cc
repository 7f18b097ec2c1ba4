#include "sandbox/filters.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

void Fill(const ContainerView& view, cri::Container* entry) {
  const cri::ContainerStatus& status = view.status;
  entry->set_id(status.id());
  entry->set_pod_sandbox_id(view.record.sandbox_id());
  *entry->mutable_metadata() = status.metadata();
  *entry->mutable_image() = status.image();
  entry->set_image_ref(status.image_ref());
  entry->set_image_id(status.image_id());
  entry->set_state(status.state());
  entry->set_created_at(status.created_at());
  *entry->mutable_labels() = status.labels();
  *entry->mutable_annotations() = status.annotations();
}

}  // namespace

cri::ListContainersResponse ListContainers(const Core& core,
                                           const cri::ListContainersRequest& request) {
  cri::ListContainersResponse response;
  for (const ContainerPtr& container : core.containers.All()) {
    const ContainerViewPtr view = container->view();
    if (view->listed() && Matches(*view, request.filter())) Fill(*view, response.add_containers());
  }
  return response;
}

}  // namespace berth::sandbox
