#include "tests/e2e/e2e.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/file.h"

namespace berth::testing {

std::unique_ptr<Daemon> E2e::daemon_;

std::unique_ptr<grpc::ClientContext> Within(absl::Duration d) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(absl::ToChronoTime(absl::Now() + d));
  return context;
}

void E2e::SetUp() {
  if (daemon_ == nullptr) daemon_ = std::make_unique<Daemon>(DaemonOptions());
  if (!daemon_->running()) daemon_->Start();
  ASSERT_TRUE(daemon_->running());
  leaks_ = std::make_unique<LeakCheck>(daemon_->Scope());
  Reconnect();
}

void E2e::Reconnect() {
  runtime_ = daemon_->runtime();
  images_ = daemon_->images();
  leaks_->set_process(daemon_->pid());
}

void E2e::TearDown() {
  if (runtime_ != nullptr && daemon_->running()) {
    cri::ListPodSandboxResponse pods;
    (void)runtime_->ListPodSandbox(Within(absl::Seconds(10)).get(), {}, &pods);  // judged below
    for (const cri::PodSandbox& pod : pods.items()) RemovePod(pod.id());
  }
  runtime_.reset();
  images_.reset();
  if (daemon_->running() && leaks_ != nullptr) leaks_->Expect();
  leaks_.reset();
}

void E2e::TearDownTestSuite() { daemon_.reset(); }

std::string E2e::LogDirectory() const {
  return absl::StrCat(daemon_->log_dir(), "/",
                      ::testing::UnitTest::GetInstance()->current_test_info()->name());
}

cri::PodSandboxConfig E2e::PodConfig(const std::string& name) const {
  cri::PodSandboxConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_uid(absl::StrCat("uid-", name));
  config.mutable_metadata()->set_namespace_("default");
  config.set_log_directory(absl::StrCat(LogDirectory(), "/", name));
  auto* options = config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options->set_network(cri::NODE);
  options->set_pid(cri::CONTAINER);
  options->set_ipc(cri::POD);
  return config;
}

cri::ContainerConfig E2e::ContainerConfig(const std::string& script,
                                          const std::string& name) const {
  cri::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image("busybox:test");
  for (const char* arg : {"/bin/sh", "-c"}) config.add_command(arg);
  config.add_command(script);
  config.set_log_path(absl::StrCat(name, ".log"));
  auto* options = config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  options->set_network(cri::NODE);
  options->set_pid(cri::CONTAINER);
  return config;
}

grpc::Status E2e::TryRunPod(const cri::PodSandboxConfig& config, std::string* id,
                            const std::string& handler) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = config;
  request.set_runtime_handler(handler);
  cri::RunPodSandboxResponse response;
  grpc::Status status = runtime_->RunPodSandbox(Within(absl::Minutes(2)).get(), request, &response);
  if (id != nullptr) *id = response.pod_sandbox_id();
  return status;
}

grpc::Status E2e::TryCreate(const std::string& pod, const cri::ContainerConfig& config,
                            const cri::PodSandboxConfig& pod_config, std::string* id) {
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_config() = config;
  *request.mutable_sandbox_config() = pod_config;
  cri::CreateContainerResponse response;
  grpc::Status status =
      runtime_->CreateContainer(Within(absl::Minutes(2)).get(), request, &response);
  if (id != nullptr) *id = response.container_id();
  return status;
}

grpc::Status E2e::TryStart(const std::string& id) {
  cri::StartContainerRequest request;
  request.set_container_id(id);
  cri::StartContainerResponse response;
  return runtime_->StartContainer(Within(absl::Minutes(2)).get(), request, &response);
}

grpc::Status E2e::TryStop(const std::string& id, int64_t timeout) {
  cri::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(timeout);
  cri::StopContainerResponse response;
  return runtime_->StopContainer(Within(absl::Minutes(2)).get(), request, &response);
}

grpc::Status E2e::TryRemove(const std::string& id) {
  cri::RemoveContainerRequest request;
  request.set_container_id(id);
  cri::RemoveContainerResponse response;
  return runtime_->RemoveContainer(Within(absl::Minutes(2)).get(), request, &response);
}

grpc::Status E2e::TryExec(const std::string& id, std::vector<std::string> argv, int64_t timeout,
                          cri::ExecSyncResponse* response) {
  cri::ExecSyncRequest request;
  request.set_container_id(id);
  request.set_timeout(timeout);
  for (std::string& arg : argv) request.add_cmd(std::move(arg));
  return runtime_->ExecSync(Within(absl::Minutes(2)).get(), request, response);
}

std::string E2e::RunPod(const cri::PodSandboxConfig& config) {
  std::string id;
  const grpc::Status status = TryRunPod(config, &id);
  EXPECT_TRUE(status.ok()) << status.error_message();
  last_pod_ = config;
  return id;
}

std::string E2e::Create(const std::string& pod, const cri::ContainerConfig& config) {
  std::string id;
  const grpc::Status status = TryCreate(pod, config, last_pod_, &id);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return id;
}

void E2e::Start(const std::string& id) {
  const grpc::Status status = TryStart(id);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

void E2e::Stop(const std::string& id, int64_t timeout) {
  const grpc::Status status = TryStop(id, timeout);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

void E2e::Remove(const std::string& id) {
  const grpc::Status status = TryRemove(id);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

void E2e::StopPod(const std::string& id) {
  cri::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  cri::StopPodSandboxResponse response;
  const grpc::Status status =
      runtime_->StopPodSandbox(Within(absl::Minutes(2)).get(), request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

void E2e::RemovePod(const std::string& id) {
  cri::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  cri::RemovePodSandboxResponse response;
  const grpc::Status status =
      runtime_->RemovePodSandbox(Within(absl::Minutes(2)).get(), request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

std::pair<std::string, std::string> E2e::RunContainer(const cri::ContainerConfig& config) {
  std::string pod = RunPod(PodConfig());
  std::string container = Create(pod, config);
  Start(container);
  return {std::move(pod), std::move(container)};
}

std::string E2e::Shell(const std::string& container, const std::string& script) {
  cri::ExecSyncResponse response;
  const grpc::Status status = TryExec(container, {"/bin/sh", "-c", script}, 30, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.exit_code(), 0) << script << "\n" << response.stderr();
  return response.stdout();
}

cri::ContainerStatus E2e::Status(const std::string& id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  cri::ContainerStatusResponse response;
  const grpc::Status status =
      runtime_->ContainerStatus(Within(absl::Seconds(20)).get(), request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.status();
}

cri::ContainerStatus E2e::WaitExit(const std::string& id, absl::Duration patience) {
  cri::ContainerStatus status;
  EXPECT_TRUE(Eventually(
      [&] {
        status = Status(id);
        return status.state() == cri::CONTAINER_EXITED;
      },
      patience))
      << "container " << id << " does not end: " << status.ShortDebugString();
  return status;
}

std::string E2e::RunScript(const std::string& script, cri::ContainerStatus* status) {
  const auto [pod, container] = RunContainer(ContainerConfig(script));
  const cri::ContainerStatus end = WaitExit(container);
  if (status != nullptr) *status = end;
  std::string text;
  for (const std::string& line : LogLines()) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(' ', 2));
    if (parts.size() == 3) absl::StrAppend(&text, parts[2], parts[1] == "F" ? "\n" : "");
  }
  RemovePod(pod);
  return text;
}

std::string E2e::LogPath(const std::string& name) const {
  return absl::StrCat(LogDirectory(), "/pod/", name, ".log");
}

std::vector<std::string> E2e::LogLines(const std::string& name) const {
  absl::StatusOr<std::string> text = os::ReadFile(LogPath(name), 256 << 20);
  EXPECT_TRUE(text.ok()) << text.status();
  std::vector<std::string> lines;
  if (!text.ok()) return lines;
  for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    const size_t space = line.find(' ');
    lines.emplace_back(space == absl::string_view::npos ? line : line.substr(space + 1));
  }
  return lines;
}

}  // namespace berth::testing
