#include "sandbox/filters.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

void Fill(const cri::PodSandboxStatus& status, cri::PodSandbox* entry) {
  entry->set_id(status.id());
  *entry->mutable_metadata() = status.metadata();
  entry->set_state(status.state());
  entry->set_created_at(status.created_at());
  *entry->mutable_labels() = status.labels();
  *entry->mutable_annotations() = status.annotations();
  entry->set_runtime_handler(status.runtime_handler());
}

}  // namespace

cri::ListPodSandboxResponse ListPodSandbox(const Core& core,
                                           const cri::ListPodSandboxRequest& request) {
  cri::ListPodSandboxResponse response;
  for (const PodPtr& pod : core.pods.All()) {
    const PodViewPtr view = pod->view();
    if (view->listed() && Matches(*view, request.filter()))
      Fill(view->status, response.add_items());
  }
  return response;
}

}  // namespace berth::sandbox
