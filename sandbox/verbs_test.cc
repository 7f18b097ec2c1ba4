// One pod and its containers through the verbs, over fakes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/failpoint.h"
#include "base/os/file.h"
#include "sandbox/container_end.h"
#include "sandbox/paths.h"
#include "sandbox/testing/fakes.h"

namespace berth::sandbox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::World;

class VerbsTest : public ::testing::Test {
 protected:
  std::string RunPod(const std::string& name = "pod") {
    const absl::StatusOr<std::string> id = world_.Run(World::PodConfig(name));
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or("");
  }
  std::string CreateIn(const std::string& pod, const std::string& name = "main") {
    const absl::StatusOr<std::string> id = world_.Create(pod, World::ContainerConfig(name));
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or("");
  }
  std::string StartIn(const std::string& pod, const std::string& name = "main") {
    std::string id = CreateIn(pod, name);
    const absl::Status started = world_.Start(id);
    EXPECT_TRUE(started.ok()) << started;
    return id;
  }
  absl::Status StopPod(const std::string& id) {
    cri::StopPodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    return StopPodSandbox(world_.core(), request);
  }
  absl::Status RemovePod(const std::string& id) {
    cri::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    return RemovePodSandbox(world_.core(), request);
  }

  World world_;
};

TEST_F(VerbsTest, APodWithAContainerRunsAndLeavesNothing) {
  const std::string pod = RunPod();
  EXPECT_EQ(world_.PodStatus(pod).state(), cri::SANDBOX_READY);
  const std::string container = StartIn(pod);
  EXPECT_EQ(world_.Status(container).state(), cri::CONTAINER_RUNNING);
  EXPECT_GT(world_.Status(container).started_at(), 0);
  EXPECT_TRUE(world_.StopIn(container, 10).ok());
  const cri::ContainerStatus ended = world_.Status(container);
  EXPECT_EQ(ended.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(ended.exit_code(), 143);
  EXPECT_EQ(ended.reason(), "Error");
  EXPECT_EQ(ended.finished_at(), 4242);
  EXPECT_TRUE(world_.Remove(container).ok());
  EXPECT_TRUE(StopPod(pod).ok());
  EXPECT_EQ(world_.PodStatus(pod).state(), cri::SANDBOX_NOTREADY);
  EXPECT_TRUE(RemovePod(pod).ok());
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(VerbsTest, RemovePodSandboxTakesRunningContainersWithIt) {
  const std::string pod = RunPod();
  StartIn(pod, "one");
  CreateIn(pod, "two");
  EXPECT_TRUE(RemovePod(pod).ok());
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(VerbsTest, StopPodSandboxEndsCreatedContainersTooAndUnpins) {
  const std::string pod = RunPod();
  const std::string created = CreateIn(pod, "created");
  const std::string running = StartIn(pod, "running");
  EXPECT_TRUE(StopPod(pod).ok());
  EXPECT_EQ(world_.Status(created).state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(world_.Status(running).exit_code(), 137);
  EXPECT_EQ(world_.shims().Count(), 0u);
  EXPECT_THAT(world_.host().pins(), IsEmpty());
  EXPECT_TRUE(StopPod(pod).ok());
}

TEST_F(VerbsTest, UnknownIdsAreSuccessForStopAndRemoveAndNotFoundElsewhere) {
  const std::string unknown(64, '0');
  EXPECT_TRUE(StopPod(unknown).ok());
  EXPECT_TRUE(RemovePod(unknown).ok());
  EXPECT_TRUE(world_.StopIn(unknown, 1).ok());
  EXPECT_TRUE(world_.Remove(unknown).ok());
  EXPECT_TRUE(absl::IsNotFound(world_.Start(unknown)));
  EXPECT_TRUE(absl::IsNotFound(world_.Create(unknown, World::ContainerConfig("a")).status()));
  cri::ExecSyncRequest exec;
  exec.set_container_id(unknown);
  EXPECT_TRUE(absl::IsNotFound(ExecSync(world_.core(), exec, Cancel()).status()));
}

TEST_F(VerbsTest, RunPodSandboxAgainReturnsTheSameId) {
  const std::string pod = RunPod();
  EXPECT_EQ(RunPod(), pod);
  cri::PodSandboxConfig other = World::PodConfig("pod");
  other.set_hostname("else");
  EXPECT_TRUE(absl::IsAlreadyExists(world_.Run(other).status()));
  cri::PodSandboxConfig next = World::PodConfig("pod");
  next.mutable_metadata()->set_attempt(1);
  const absl::StatusOr<std::string> second = world_.Run(next);
  ASSERT_TRUE(second.ok());
  EXPECT_NE(*second, pod);
}

TEST_F(VerbsTest, CreateContainerAgainReturnsTheSameIdUntilItRan) {
  const std::string pod = RunPod();
  const std::string id = CreateIn(pod);
  EXPECT_EQ(CreateIn(pod), id);
  cri::ContainerConfig other = World::ContainerConfig("main");
  other.add_args("x");
  EXPECT_TRUE(absl::IsAlreadyExists(world_.Create(pod, other).status()));
  ASSERT_TRUE(world_.Start(id).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(world_.Create(pod, World::ContainerConfig("main")).status()));
  ASSERT_TRUE(world_.Remove(id).ok());
  EXPECT_NE(CreateIn(pod), id);
}

TEST_F(VerbsTest, StartContainerOnlyFromCreated) {
  const std::string id = StartIn(RunPod());
  EXPECT_TRUE(absl::IsFailedPrecondition(world_.Start(id)));
  ASSERT_TRUE(world_.StopIn(id, 0).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(world_.Start(id)));
}

TEST_F(VerbsTest, AFailedStartLeavesExitedWithStartErrorAndTheCause) {
  const std::string id = CreateIn(RunPod());
  world_.shims().FailNextStart(
      absl::FailedPreconditionError("exec /bin/x: No such file or directory"));
  const absl::Status failed = world_.Start(id);
  EXPECT_TRUE(absl::IsFailedPrecondition(failed)) << failed;
  EXPECT_THAT(std::string(failed.message()), HasSubstr("exec /bin/x: No such file"));
  const cri::ContainerStatus status = world_.Status(id);
  EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(status.reason(), "StartError");
  EXPECT_EQ(status.exit_code(), 128);
  EXPECT_THAT(status.message(), HasSubstr("/bin/x"));
  EXPECT_EQ(world_.shims().Count(), 0u);
}

TEST_F(VerbsTest, AnUnknownImageIsNotFoundAndNamed) {
  cri::ContainerConfig config = World::ContainerConfig("main");
  config.mutable_image()->set_image("nginx:latest");
  const std::string pod = RunPod();
  const absl::Status failed = world_.Create(pod, config).status();
  EXPECT_TRUE(absl::IsNotFound(failed));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("nginx:latest"));
}

TEST_F(VerbsTest, CreateContainerNeedsAReadyPod) {
  const std::string pod = RunPod();
  ASSERT_TRUE(StopPod(pod).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(world_.Create(pod, World::ContainerConfig("a")).status()));
}

TEST_F(VerbsTest, ExitsAreRecordedWithTheirReason) {
  const std::string pod = RunPod();
  const std::string good = StartIn(pod, "good");
  const std::string bad = StartIn(pod, "bad");
  const std::string oom = StartIn(pod, "oom");
  world_.shims().Exit(good, 0);
  world_.shims().Exit(bad, 37);
  world_.shims().Exit(oom, 137, true);
  for (const std::string& id : {good, bad, oom}) ASSERT_TRUE(world_.AwaitReleased(id));
  EXPECT_EQ(world_.Status(good).reason(), "Completed");
  EXPECT_EQ(world_.Status(bad).reason(), "Error");
  EXPECT_EQ(world_.Status(bad).exit_code(), 37);
  EXPECT_EQ(world_.Status(oom).reason(), "OOMKilled");
  EXPECT_EQ(world_.shims().Count(), 0u);
}

TEST_F(VerbsTest, ADeadShimMeansAKilledCgroupAndItsOwnReason) {
  const std::string id = StartIn(RunPod());
  world_.shims().Die(id);
  ASSERT_TRUE(world_.AwaitReleased(id));
  EXPECT_EQ(world_.Status(id).reason(), "ShimLost");
  EXPECT_EQ(world_.Status(id).exit_code(), 137);
  EXPECT_EQ(world_.host().killed().size(), 1u);
}

TEST_F(VerbsTest, StopContainerEndsAContainerWhoseShimIsMute) {
  const std::string id = StartIn(RunPod());
  world_.shims().Edit(id, [](testing::FakeShims::Shim& shim) { shim.mute = true; });
  EXPECT_TRUE(world_.StopIn(id, 1000).ok());
  EXPECT_EQ(world_.Status(id).reason(), "ShimLost");
}

TEST_F(VerbsTest, StopContainerSendsTheRequestedSignal) {
  const std::string pod = RunPod();
  cri::ContainerConfig config = World::ContainerConfig("main");
  config.set_stop_signal(cri::SIGNAL_SIGRTMINPLUS3);
  const absl::StatusOr<std::string> id = world_.Create(pod, config);
  ASSERT_TRUE(id.ok() && world_.Start(*id).ok());
  EXPECT_EQ(world_.Status(*id).stop_signal(), cri::SIGNAL_SIGRTMINPLUS3);
  ASSERT_TRUE(world_.StopIn(*id, 5).ok());
  EXPECT_EQ(world_.Status(*id).exit_code(), 128 + 37);
}

TEST_F(VerbsTest, ASecondStopWithAShorterTimeoutShortensTheWaitAndSendsNoSecondSignal) {
  const std::string id = StartIn(RunPod());
  world_.shims().Edit(id, [](testing::FakeShims::Shim& shim) { shim.ignores_signals = true; });
  std::vector<int> signals;
  std::thread patient([&] { EXPECT_TRUE(world_.StopIn(id, 3600).ok()); });
  // Not before the first has sent its signal.
  while (signals.empty()) signals = world_.shims().Get(id).signals;
  EXPECT_THAT(signals, ElementsAre(15));
  EXPECT_TRUE(world_.StopIn(id, 0).ok());
  patient.join();
  EXPECT_EQ(world_.Status(id).exit_code(), 137);
}

TEST_F(VerbsTest, StopPodSandboxShortensAStopInProgress) {
  const std::string pod = RunPod();
  const std::string id = StartIn(pod);
  world_.shims().Edit(id, [](testing::FakeShims::Shim& shim) { shim.ignores_signals = true; });
  std::thread patient([&] { EXPECT_TRUE(world_.StopIn(id, 3600).ok()); });
  while (world_.shims().Get(id).signals.empty()) std::this_thread::yield();
  EXPECT_TRUE(StopPod(pod).ok());
  patient.join();
}

TEST_F(VerbsTest, ARemoveThatFailsKeepsTheRecordAndARetryFinishes) {
  const std::string pod = RunPod();
  const std::string id = StartIn(pod);
  world_.shims().FailRemoves(absl::InternalError("cgroup busy"));
  EXPECT_FALSE(world_.Remove(id).ok());
  EXPECT_EQ(world_.Status(id).state(), cri::CONTAINER_EXITED);
  world_.shims().FailRemoves(absl::OkStatus());
  EXPECT_TRUE(world_.Remove(id).ok());
  EXPECT_TRUE(RemovePod(pod).ok());
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(VerbsTest, WhatARollbackCannotUndoStaysAsANotReadyPod) {
  world_.host().FailUnpins(absl::InternalError("unmount: busy"));
  cri::PodSandboxConfig config = World::PodConfig("pod");
  ASSERT_TRUE(failpoint::Configure("run_pod_after_pin=1*error").ok());
  EXPECT_FALSE(world_.Run(config).ok());
  cri::ListPodSandboxResponse list = ListPodSandbox(world_.core(), {});
  ASSERT_EQ(list.items_size(), 1);
  EXPECT_EQ(list.items(0).state(), cri::SANDBOX_NOTREADY);
  world_.host().FailUnpins(absl::OkStatus());
  EXPECT_TRUE(RemovePod(list.items(0).id()).ok());
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(VerbsTest, ReopenContainerLogWritesANewFileOnlyWhileItRuns) {
  cri::PodSandboxConfig pod_config = World::PodConfig("pod");
  const std::string logs = world_.dir() + "/logs/pod";
  pod_config.set_log_directory(logs);
  const absl::StatusOr<std::string> pod = world_.Run(pod_config);
  ASSERT_TRUE(pod.ok()) << pod.status();
  cri::ContainerConfig config = World::ContainerConfig("main");
  config.set_log_path("main/0.log");
  const absl::StatusOr<std::string> id = world_.Create(*pod, config);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(world_.Status(*id).log_path(), logs + "/main/0.log");
  std::filesystem::rename(logs + "/main/0.log", logs + "/main/0.log.1");
  cri::ReopenContainerLogRequest request;
  request.set_container_id(*id);
  EXPECT_TRUE(absl::IsFailedPrecondition(ReopenContainerLog(world_.core(), request)));
  EXPECT_FALSE(std::filesystem::exists(logs + "/main/0.log"));
  ASSERT_TRUE(world_.Start(*id).ok());
  EXPECT_TRUE(ReopenContainerLog(world_.core(), request).ok());
  EXPECT_EQ(os::ReadFile(logs + "/main/0.log", 100).value_or(""), "reopened\n");
}

TEST_F(VerbsTest, ALogDirectoryThatIsALinkInsideDoesNotLeadOut) {
  cri::PodSandboxConfig pod_config = World::PodConfig("pod");
  const std::string logs = world_.dir() + "/logs";
  pod_config.set_log_directory(logs);
  const absl::StatusOr<std::string> pod = world_.Run(pod_config);
  ASSERT_TRUE(pod.ok());
  std::filesystem::create_symlink(world_.dir() + "/target", logs + "/0.log");
  cri::ContainerConfig config = World::ContainerConfig("main");
  config.set_log_path("0.log");
  EXPECT_FALSE(world_.Create(*pod, config).ok());
  EXPECT_FALSE(std::filesystem::exists(world_.dir() + "/target"));
}

TEST_F(VerbsTest, VerboseStatusSaysMoreOnlyWhenAsked) {
  const std::string pod = RunPod();
  const std::string id = StartIn(pod);
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  EXPECT_EQ(ContainerStatus(world_.core(), request)->info_size(), 0);
  request.set_verbose(true);
  const auto status = ContainerStatus(world_.core(), request);
  EXPECT_THAT(status->info().at("info"), HasSubstr("\"pid\":101"));
  EXPECT_TRUE(std::filesystem::exists(paths::SpecFile(world_.options, *ContainerId::Parse(id))));
  cri::PodSandboxStatusRequest pod_request;
  pod_request.set_pod_sandbox_id(pod);
  pod_request.set_verbose(true);
  const auto pod_status = PodSandboxStatus(world_.core(), pod_request);
  EXPECT_EQ(pod_status->containers_statuses_size(), 1);
  EXPECT_EQ(pod_status->info_size(), 1);
}

TEST_F(VerbsTest, StatusReportsImageUserAndResources) {
  const std::string pod = RunPod();
  cri::ContainerConfig config = World::ContainerConfig("main");
  config.mutable_linux()->mutable_security_context()->set_run_as_username("nobody");
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(1 << 20);
  const absl::StatusOr<std::string> id = world_.Create(pod, config);
  ASSERT_TRUE(id.ok()) << id.status();
  const cri::ContainerStatus status = world_.Status(*id);
  EXPECT_EQ(status.image_id(), "sha256:" + std::string(64, 'a'));
  EXPECT_THAT(status.image_ref(), HasSubstr("busybox@sha256:bbb"));
  EXPECT_EQ(status.image().image(), "docker.io/library/busybox:latest");
  EXPECT_EQ(status.user().linux().uid(), 65534);
  EXPECT_THAT(status.user().linux().supplemental_groups(), ElementsAre(65534, 50000));
  EXPECT_EQ(status.resources().linux().memory_limit_in_bytes(), 1 << 20);
}

}  // namespace
}  // namespace berth::sandbox
