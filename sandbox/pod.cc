#include "sandbox/pod.h"

#include "absl/strings/str_cat.h"

namespace berth::sandbox {

cri::PodSandboxConfig ConfigOf(const SandboxRecord& record) {
  cri::PodSandboxConfig config;
  (void)config.ParseFromString(record.config());  // checked when the record was read
  return config;
}

std::string PodName(const cri::PodSandboxMetadata& metadata) {
  // Kubernetes names have no '/'; others are told apart by the lengths.
  return absl::StrCat(metadata.namespace_().size(), "/", metadata.namespace_(), "/",
                      metadata.name().size(), "/", metadata.name(), "/", metadata.uid(), "/",
                      metadata.attempt());
}

namespace {

// Host network: no address is reported. Neither is that of a pod that is not ready: it may be
// another's by now.
void FillNetwork(const SandboxRecord& record, PodState state,
                 cri::PodSandboxNetworkStatus* network) {
  if (state != PodState::kReady) return;
  for (int i = 0; i < record.ips_size(); ++i) {
    if (i == 0) network->set_ip(record.ips(i));
    if (i > 0) network->add_additional_ips()->set_ip(record.ips(i));
  }
}

}  // namespace

PodView PodView::Make(const std::string& id, SandboxRecord record) {
  PodView view;
  view.state = StateOf(record);
  const cri::PodSandboxConfig config = ConfigOf(record);
  cri::PodSandboxStatus& status = view.status;
  status.set_id(id);
  *status.mutable_metadata() = config.metadata();
  status.set_state(view.state == PodState::kReady ? cri::SANDBOX_READY : cri::SANDBOX_NOTREADY);
  status.set_created_at(record.created_at());
  FillNetwork(record, view.state, status.mutable_network());
  *status.mutable_linux()->mutable_namespaces()->mutable_options() =
      config.linux().security_context().namespace_options();
  *status.mutable_labels() = config.labels();
  *status.mutable_annotations() = config.annotations();
  status.set_runtime_handler(record.runtime_handler());
  view.record = std::move(record);
  return view;
}

}  // namespace berth::sandbox
