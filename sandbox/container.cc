#include "sandbox/container.h"

#include "absl/strings/str_cat.h"

namespace berth::sandbox {

cri::ContainerConfig ConfigOf(const ContainerRecord& record) {
  cri::ContainerConfig config;
  (void)config.ParseFromString(record.config());  // checked when the record was read
  return config;
}

cri::LinuxContainerResources ResourcesOf(const ContainerRecord& record) {
  if (record.resources().empty()) return ConfigOf(record).linux().resources();
  cri::LinuxContainerResources resources;
  (void)resources.ParseFromString(record.resources());  // checked when the record was read
  return resources;
}

std::string ContainerName(const std::string& sandbox_id, const cri::ContainerMetadata& metadata) {
  return absl::StrCat(sandbox_id, "/", metadata.attempt(), "/", metadata.name());
}

cri::ContainerState ToCri(ContainerState state) {
  switch (state) {
    case ContainerState::kCreating:
    case ContainerState::kCreated:
      return cri::CONTAINER_CREATED;
    case ContainerState::kRunning:
      return cri::CONTAINER_RUNNING;
    case ContainerState::kExited:
    case ContainerState::kRemoving:
      return cri::CONTAINER_EXITED;
  }
  return cri::CONTAINER_UNKNOWN;
}

ContainerView ContainerView::Make(const std::string& id, ContainerRecord record) {
  ContainerView view;
  view.state = StateOf(record);
  const cri::ContainerConfig config = ConfigOf(record);
  cri::ContainerStatus& status = view.status;
  status.set_id(id);
  *status.mutable_metadata() = config.metadata();
  status.set_state(ToCri(view.state));
  status.set_created_at(record.created_at());
  // An intent to start is not a start: the clock shows once it runs.
  if (view.state != ContainerState::kCreated) status.set_started_at(record.started_at());
  status.set_finished_at(record.finished_at());
  status.set_exit_code(record.exit_code());
  *status.mutable_image() = config.image();
  status.mutable_image()->set_image(record.image_name());
  status.set_image_ref(record.image_ref());
  status.set_image_id(record.image_id());
  status.set_reason(record.reason());
  status.set_message(record.message());
  *status.mutable_labels() = config.labels();
  *status.mutable_annotations() = config.annotations();
  *status.mutable_mounts() = config.mounts();
  status.set_log_path(record.log_path());
  *status.mutable_resources()->mutable_linux() = ResourcesOf(record);
  cri::LinuxContainerUser* user = status.mutable_user()->mutable_linux();
  user->set_uid(record.uid());
  user->set_gid(record.gid());
  *user->mutable_supplemental_groups() = record.groups();
  status.set_stop_signal(static_cast<cri::Signal>(record.stop_signal()));
  view.record = std::move(record);
  return view;
}

}  // namespace berth::sandbox
