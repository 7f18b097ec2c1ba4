// berth_bench SOCKET LOWER WORK OUT.json N: times create + start, exec and stop + remove of a
// running berthd beside the floor program, in turn, with a pause before each sample (a tight loop
// would hide the cgroup lock's grace period). Prints a table; raw samples in microseconds go to
// OUT.
#include <fcntl.h>
#include <poll.h>

#include <cstdio>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/os/file.h"
#include "cri.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "shim/seccomp/profile.h"
#include "tests/bench/floor.h"
#include "tests/bench/samples.h"

namespace berth::bench {
namespace {

namespace cri = ::runtime::v1;

void Pause() { (void)poll(nullptr, 0, 25); }

class Client {
 public:
  explicit Client(const std::string& socket)
      : stub_(cri::RuntimeService::NewStub(
            grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()))) {}

  bool RunPod(int n) {
    pod_config_.Clear();
    pod_config_.mutable_metadata()->set_name(absl::StrCat("bench-", n));
    pod_config_.mutable_metadata()->set_uid(absl::StrCat("bench-", n));
    pod_config_.mutable_metadata()->set_namespace_("bench");
    Namespaces(
        pod_config_.mutable_linux()->mutable_security_context()->mutable_namespace_options());
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = pod_config_;
    cri::RunPodSandboxResponse response;
    grpc::ClientContext context;
    if (!Ok(stub_->RunPodSandbox(&context, request, &response))) return false;
    pod_ = response.pod_sandbox_id();
    return true;
  }
  bool Create() {
    cri::CreateContainerRequest request;
    request.set_pod_sandbox_id(pod_);
    *request.mutable_sandbox_config() = pod_config_;
    cri::ContainerConfig* config = request.mutable_config();
    config->mutable_metadata()->set_name("bench");
    config->mutable_image()->set_image("busybox:test");
    config->add_command("/bin/sleep");
    config->add_command("100000");
    auto* security = config->mutable_linux()->mutable_security_context();
    Namespaces(security->mutable_namespace_options());
    security->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
    cri::CreateContainerResponse response;
    grpc::ClientContext context;
    if (!Ok(stub_->CreateContainer(&context, request, &response))) return false;
    id_ = response.container_id();
    return true;
  }
  bool Start() {
    cri::StartContainerRequest request;
    request.set_container_id(id_);
    cri::StartContainerResponse response;
    grpc::ClientContext context;
    return Ok(stub_->StartContainer(&context, request, &response));
  }
  bool Exec() {
    cri::ExecSyncRequest request;
    request.set_container_id(id_);
    request.add_cmd("/bin/true");
    request.set_timeout(10);
    cri::ExecSyncResponse response;
    grpc::ClientContext context;
    return Ok(stub_->ExecSync(&context, request, &response)) && response.exit_code() == 0;
  }
  bool Stop() {
    cri::StopContainerRequest request;
    request.set_container_id(id_);
    cri::StopContainerResponse response;
    grpc::ClientContext context;
    return Ok(stub_->StopContainer(&context, request, &response));
  }
  bool Remove() {
    cri::RemoveContainerRequest request;
    request.set_container_id(id_);
    cri::RemoveContainerResponse response;
    grpc::ClientContext context;
    return Ok(stub_->RemoveContainer(&context, request, &response));
  }
  bool RemovePod() {
    cri::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(pod_);
    cri::RemovePodSandboxResponse response;
    grpc::ClientContext context;
    return Ok(stub_->RemovePodSandbox(&context, request, &response));
  }
  bool List() {
    cri::ListContainersResponse response;
    grpc::ClientContext context;
    return Ok(stub_->ListContainers(&context, {}, &response));
  }

 private:
  static void Namespaces(cri::NamespaceOption* options) {
    options->set_network(cri::NODE);
    options->set_pid(cri::CONTAINER);
  }
  static bool Ok(const grpc::Status& status) {
    if (!status.ok()) (void)fprintf(stderr, "bench: %s\n", status.error_message().c_str());
    return status.ok();
  }
  std::unique_ptr<cri::RuntimeService::Stub> stub_;
  cri::PodSandboxConfig pod_config_;
  std::string pod_;
  std::string id_;
};

bool OneRound(int n, Client* client, Floor* floor, Samples* s) {
  Pause();
  if (!Time(s, "floor create+start", [&] { return floor->CreateStart(); })) return false;
  Pause();
  if (!Time(s, "floor exec", [&] { return floor->Exec(); })) return false;
  Pause();
  if (!Time(s, "floor stop+remove", [&] { return floor->StopRemove(); })) return false;
  Pause();
  if (!Time(s, "RunPodSandbox (host network)", [&] { return client->RunPod(n); })) return false;
  Pause();
  if (!Time(s, "create+start", [&] { return client->Create() && client->Start(); })) return false;
  Pause();
  if (!Time(s, "exec", [&] { return client->Exec(); })) return false;
  Pause();
  if (!Time(s, "ListContainers", [&] { return client->List(); })) return false;
  Pause();
  if (!Time(s, "stop+remove", [&] { return client->Stop() && client->Remove(); })) return false;
  Pause();
  return Time(s, "RemovePodSandbox", [&] { return client->RemovePod(); });
}

int Run(int argc, char** argv) {
  int rounds = 0;
  if (argc != 6 || !absl::SimpleAtoi(argv[5], &rounds) || rounds < 1) {
    (void)fprintf(stderr, "usage: berth_bench SOCKET LOWER WORK OUT.json ROUNDS\n");
    return 2;
  }
  Client client(argv[1]);
  const absl::StatusOr<std::string> filter =
      shim::seccomp::Compile(shim::seccomp::DefaultProfile(0));
  if (!filter.ok()) return 1;
  Floor floor(argv[2], argv[3], *filter);
  Samples samples;
  for (int i = 0; i < rounds + 3; ++i) {
    if (i == 3) samples.clear();  // the first three warm caches
    if (!OneRound(i, &client, &floor, &samples)) {
      (void)fprintf(stderr, "bench: round %d failed: %m\n", i);
      return 1;
    }
  }
  std::string json = "{\"unit\":\"us\",\"samples\":{";
  Print(samples, rounds);
  for (const auto& [name, values] : samples) {
    absl::StrAppend(&json, json.back() == '{' ? "" : ",", "\"", name, "\":[",
                    absl::StrJoin(values, ","), "]");
  }
  json += "}}\n";
  absl::StatusOr<os::UniqueFd> out = os::Open(argv[4], O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (!out.ok() || !os::WriteAll(out->get(), json).ok()) return 1;
  return 0;
}

}  // namespace
}  // namespace berth::bench

int main(int argc, char** argv) { return berth::bench::Run(argc, argv); }
