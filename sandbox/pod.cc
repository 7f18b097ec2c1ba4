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

PodView PodView::Make(const std::string& id, SandboxRecord record) {
  PodView view;
  view.state = StateOf(record);
  const cri::PodSandboxConfig config = ConfigOf(record);
  cri::PodSandboxStatus& status = view.status;
  status.set_id(id);
  *status.mutable_metadata() = config.metadata();
  status.set_state(view.state == PodState::kReady ? cri::SANDBOX_READY : cri::SANDBOX_NOTREADY);
  status.set_created_at(record.created_at());
  status.mutable_network();  // host network: no address is reported
  *status.mutable_linux()->mutable_namespaces()->mutable_options() =
      config.linux().security_context().namespace_options();
  *status.mutable_labels() = config.labels();
  *status.mutable_annotations() = config.annotations();
  status.set_runtime_handler(record.runtime_handler());
  view.record = std::move(record);
  return view;
}

}  // namespace berth::sandbox
