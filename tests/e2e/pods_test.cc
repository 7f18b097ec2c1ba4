// Pod sandboxes as CRI clients see them.
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "tests/e2e/e2e.h"

namespace berth::testing {
namespace {

class Pods : public E2e {};

TEST_F(Pods, RunGivesAReadyPodWhoseStatusRepeatsItsConfig) {
  cri::PodSandboxConfig config = PodConfig();
  (*config.mutable_labels())["app"] = "demo";
  (*config.mutable_annotations())["example.com/note"] = "kept verbatim";
  const std::string id = RunPod(config);
  EXPECT_EQ(id.size(), 64u);
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(id);
  cri::PodSandboxStatusResponse response;
  ASSERT_TRUE(runtime_->PodSandboxStatus(Within(absl::Seconds(10)).get(), request, &response).ok());
  const cri::PodSandboxStatus& status = response.status();
  EXPECT_EQ(status.id(), id);
  EXPECT_EQ(status.metadata().name(), "pod");
  EXPECT_EQ(status.metadata().uid(), "uid-pod");
  EXPECT_EQ(status.metadata().namespace_(), "default");
  EXPECT_EQ(status.state(), cri::SANDBOX_READY);
  EXPECT_GT(status.created_at(), 0);
  EXPECT_EQ(status.labels().at("app"), "demo");
  EXPECT_EQ(status.annotations().at("example.com/note"), "kept verbatim");
  EXPECT_EQ(status.annotations().size(), 1u);
  EXPECT_EQ(status.network().ip(), "");
  EXPECT_EQ(status.linux().namespaces().options().network(), cri::NODE);
  EXPECT_EQ(status.linux().namespaces().options().pid(), cri::CONTAINER);
}

TEST_F(Pods, StopMakesItNotReadyAndRepeatedCallsSucceed) {
  const std::string id = RunPod(PodConfig());
  StopPod(id);
  StopPod(id);
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(id);
  cri::PodSandboxStatusResponse response;
  ASSERT_TRUE(runtime_->PodSandboxStatus(Within(absl::Seconds(10)).get(), request, &response).ok());
  EXPECT_EQ(response.status().state(), cri::SANDBOX_NOTREADY);
  RemovePod(id);
  RemovePod(id);
  StopPod(id);
  EXPECT_THAT(runtime_->PodSandboxStatus(Within(absl::Seconds(10)).get(), request, &response),
              StatusIs(grpc::StatusCode::NOT_FOUND, HasSubstr(id)));
}

TEST_F(Pods, TheSameIdentityAgainGivesTheSamePod) {
  const std::string first = RunPod(PodConfig());
  EXPECT_EQ(RunPod(PodConfig()), first);
  cri::PodSandboxConfig next = PodConfig();
  next.mutable_metadata()->set_attempt(1);
  EXPECT_NE(RunPod(next), first);
}

TEST_F(Pods, ListFiltersAreAnded) {
  cri::PodSandboxConfig a = PodConfig("a");
  (*a.mutable_labels())["tier"] = "web";
  cri::PodSandboxConfig b = PodConfig("b");
  (*b.mutable_labels())["tier"] = "db";
  const std::string id_a = RunPod(a);
  const std::string id_b = RunPod(b);
  StopPod(id_b);
  const auto list = [&](const std::function<void(cri::PodSandboxFilter*)>& edit) {
    cri::ListPodSandboxRequest request;
    edit(request.mutable_filter());
    cri::ListPodSandboxResponse response;
    EXPECT_TRUE(runtime_->ListPodSandbox(Within(absl::Seconds(10)).get(), request, &response).ok());
    std::set<std::string> ids;
    for (const cri::PodSandbox& pod : response.items()) ids.insert(pod.id());
    return ids;
  };
  using Ids = std::set<std::string>;
  EXPECT_EQ(list([](auto*) {}), (Ids{id_a, id_b}));
  EXPECT_EQ(list([&](auto* f) { f->set_id(id_a); }), Ids{id_a});
  EXPECT_EQ(list([&](auto* f) { f->set_id(id_a.substr(0, 13)); }), Ids{id_a});
  EXPECT_EQ(list([&](auto* f) { f->mutable_state()->set_state(cri::SANDBOX_NOTREADY); }),
            Ids{id_b});
  EXPECT_EQ(list([&](auto* f) { (*f->mutable_label_selector())["tier"] = "web"; }), Ids{id_a});
  EXPECT_EQ(list([&](auto* f) {
              (*f->mutable_label_selector())["tier"] = "web";
              f->mutable_state()->set_state(cri::SANDBOX_NOTREADY);
            }),
            Ids{});
  EXPECT_EQ(list([&](auto* f) { f->set_id(std::string(64, 'f')); }), Ids{});
}

TEST_F(Pods, WhatThisVersionLeavesOutIsRefusedByFieldAndValue) {
  struct Case {
    std::string field;
    std::string value;
    std::function<void(cri::NamespaceOption*)> edit;
  };
  const std::vector<Case> cases = {
      {"network", "CONTAINER", [](auto* o) { o->set_network(cri::CONTAINER); }},
      {"pid", "TARGET", [](auto* o) { o->set_pid(cri::TARGET); }},
      {"ipc", "CONTAINER", [](auto* o) { o->set_ipc(cri::CONTAINER); }},
  };
  for (const Case& c : cases) {
    cri::PodSandboxConfig config = PodConfig();
    c.edit(config.mutable_linux()->mutable_security_context()->mutable_namespace_options());
    const grpc::Status status = TryRunPod(config, nullptr);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << c.field << " " << c.value;
    EXPECT_THAT(status.error_message(), HasSubstr(c.field));
    EXPECT_THAT(status.error_message(), HasSubstr(c.value));
  }
}

TEST_F(Pods, MissingMetadataAndUnknownHandlersAreRefused) {
  cri::PodSandboxConfig config = PodConfig();
  config.mutable_metadata()->clear_name();
  EXPECT_THAT(TryRunPod(config, nullptr),
              StatusIs(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("metadata.name")));
  EXPECT_FALSE(TryRunPod(PodConfig(), nullptr, "no-such-handler").ok());
}

TEST_F(Pods, ContainersOfAPodShareItsIpcNamespaceAndSharedMemory) {
  const std::string pod = RunPod(PodConfig());
  const std::string one = Create(pod, ContainerConfig("sleep 1000", "one"));
  const std::string two = Create(pod, ContainerConfig("sleep 1000", "two"));
  Start(one);
  Start(two);
  EXPECT_EQ(Shell(one, "readlink /proc/self/ns/ipc"), Shell(two, "readlink /proc/self/ns/ipc"));
  Shell(one, "echo from one > /dev/shm/note");
  EXPECT_EQ(Shell(two, "cat /dev/shm/note"), "from one\n");
  // It outlives its containers.
  Stop(one);
  Remove(one);
  EXPECT_EQ(Shell(two, "cat /dev/shm/note"), "from one\n");
  char host[64] = {};
  ASSERT_GT(readlink("/proc/self/ns/ipc", host, sizeof host - 1), 0);
  EXPECT_NE(Shell(two, "readlink /proc/self/ns/ipc"), absl::StrCat(host, "\n"));
}

TEST_F(Pods, IpcNodeIsTheHosts) {
  cri::PodSandboxConfig config = PodConfig();
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_ipc(
      cri::NODE);
  const std::string pod = RunPod(config);
  cri::ContainerConfig container = ContainerConfig("sleep 1000");
  container.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_ipc(
      cri::NODE);
  const std::string id = Create(pod, container);
  Start(id);
  char host[64] = {};
  ASSERT_GT(readlink("/proc/self/ns/ipc", host, sizeof host - 1), 0);
  EXPECT_EQ(Shell(id, "readlink /proc/self/ns/ipc"), absl::StrCat(host, "\n"));
}

TEST_F(Pods, PidNodeSeesTheHostsProcesses) {
  cri::PodSandboxConfig config = PodConfig();
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
      cri::NODE);
  const std::string pod = RunPod(config);
  cri::ContainerConfig container = ContainerConfig("sleep 1000 & sleep 1000 & wait");
  container.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
      cri::NODE);
  const std::string id = Create(pod, container);
  Start(id);
  EXPECT_EQ(Shell(id, absl::StrCat("cat /proc/", daemon().pid(), "/comm")), "berthd\n");
  // No pid namespace kills its processes: the cgroup must.
  Stop(id);
  EXPECT_EQ(WaitExit(id).exit_code(), 137);
}

TEST_F(Pods, APodIsNoProcessAndAtMostOneMountOfTheHost) {
  const LeakSnapshot before = TakeSnapshot(daemon().Scope());
  const std::string pod = RunPod(PodConfig());
  const LeakSnapshot after = TakeSnapshot(daemon().Scope());
  EXPECT_EQ(after.at("process"), before.at("process"));
  EXPECT_LE(after.at("mount").size(), before.at("mount").size() + 1);
  const std::string id = Create(pod, ContainerConfig("sleep 1000"));
  Start(id);
  EXPECT_LE(TakeSnapshot(daemon().Scope()).at("mount").size(), before.at("mount").size() + 1);
}

TEST_F(Pods, StopEndsItsContainersAndRemoveForcesThem) {
  const std::string pod = RunPod(PodConfig());
  const std::string one = Create(pod, ContainerConfig("sleep 1000", "one"));
  Start(one);
  StopPod(pod);
  EXPECT_EQ(Status(one).state(), cri::CONTAINER_EXITED);
  std::string id;
  EXPECT_THAT(TryCreate(pod, ContainerConfig("true", "late"), PodConfig(), &id),
              StatusIs(grpc::StatusCode::FAILED_PRECONDITION, HasSubstr(pod)));
  RemovePod(pod);
  cri::ListContainersResponse containers;
  ASSERT_TRUE(runtime_->ListContainers(Within(absl::Seconds(10)).get(), {}, &containers).ok());
  EXPECT_EQ(containers.containers_size(), 0);
}

TEST_F(Pods, OneWhosePinSomebodyUnmountedIsNotReadyAfterARestart) {
  const std::string pod = RunPod(PodConfig());
  const std::string pins = absl::StrCat(daemon().run_dir(), "/pins");  // every pod's
  runtime_.reset();
  images_.reset();
  EXPECT_EQ(daemon().Terminate(), 0);
  EXPECT_EQ(umount2(pins.c_str(), MNT_DETACH), 0);
  daemon().Start();
  Reconnect();
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  cri::PodSandboxStatusResponse response;
  ASSERT_TRUE(runtime_->PodSandboxStatus(Within(absl::Seconds(10)).get(), request, &response).ok());
  EXPECT_EQ(response.status().state(), cri::SANDBOX_NOTREADY);
  RemovePod(pod);
}

TEST_F(Pods, CgroupParentIsWhereTheContainersGo) {
  cri::PodSandboxConfig config = PodConfig();
  const std::string parent = absl::StrCat(daemon().cgroup_root(), "/kubepods/podx");
  config.mutable_linux()->set_cgroup_parent(parent);
  const std::string pod = RunPod(config);
  const std::string id = Create(pod, ContainerConfig("sleep 1000"));
  Start(id);
  struct stat st;
  EXPECT_EQ(stat(absl::StrCat("/sys/fs/cgroup/memory", parent, "/", id).c_str(), &st), 0);
  cri::PodSandboxConfig slice = PodConfig("slice");
  slice.mutable_linux()->set_cgroup_parent("kubepods-podx.slice");
  EXPECT_THAT(TryRunPod(slice, nullptr),
              StatusIs(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("cgroup_parent")));
}

}  // namespace
}  // namespace berth::testing
