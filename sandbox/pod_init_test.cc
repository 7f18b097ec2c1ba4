// Pods that share a PID namespace: what their init's life means for them.
#include "sandbox/pod_init.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "sandbox/testing/fakes.h"

namespace berth::sandbox {
namespace {

using shim::oci::NamespaceType;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::SizeIs;
using testing::World;

class PodInitTest : public ::testing::Test {
 protected:
  void TearDown() override { ASSERT_TRUE(failpoint::Configure("").ok()); }

  static cri::PodSandboxConfig SharedPod() {
    cri::PodSandboxConfig config = World::PodConfig("pod");
    config.mutable_linux()
        ->mutable_security_context()
        ->mutable_namespace_options()
        ->clear_pid();  // POD, as the protocol has it
    return config;
  }
  std::string RunShared() {
    absl::StatusOr<std::string> pod = world_.Run(SharedPod());
    EXPECT_TRUE(pod.ok()) << pod.status();
    return pod.value_or("");
  }
  std::string StartIn(const std::string& pod, const std::string& name) {
    absl::StatusOr<std::string> id = world_.Create(pod, World::ContainerConfig(name));
    EXPECT_TRUE(id.ok() && world_.Start(*id).ok()) << id.status();
    return id.value_or("");
  }
  bool AwaitNotReady(const std::string& pod) {
    return world_.core().pods.Find(pod)->cell.WaitUntil(
        [](const PodView& view) { return view.state == PodState::kNotReady; },
        Deadline::After(absl::Seconds(10)));
  }
  absl::Status RemovePod(const std::string& pod) {
    cri::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(pod);
    return RemovePodSandbox(world_.core(), request);
  }
  absl::Status StopPod(const std::string& pod) {
    cri::StopPodSandboxRequest request;
    request.set_pod_sandbox_id(pod);
    return StopPodSandbox(world_.core(), request);
  }

  World world_;
};

TEST_F(PodInitTest, APodThatSharesItsPidNamespaceHasAnInitFromRunToStop) {
  const std::string pod = RunShared();
  EXPECT_THAT(world_.shims().inits(), Contains(Key(absl::StrCat("/berth/", pod, "/init-", pod))));
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  request.set_verbose(true);
  EXPECT_THAT(PodSandboxStatus(world_.core(), request)->info().at("info"),
              HasSubstr("\"pid\":201"));
  ASSERT_TRUE(StopPod(pod).ok());
  EXPECT_THAT(world_.shims().inits(), IsEmpty());
  EXPECT_TRUE(StopPod(pod).ok());
  ASSERT_TRUE(RemovePod(pod).ok());
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(PodInitTest, OtherPodsHaveNone) {
  ASSERT_TRUE(world_.Run(World::PodConfig("pod")).ok());
  EXPECT_THAT(world_.shims().inits(), IsEmpty());
}

TEST_F(PodInitTest, ContainersJoinItUnlessTheyAskForTheirOwnOrTheNodes) {
  const std::string pod = RunShared();
  const std::string joins = StartIn(pod, "joins");
  EXPECT_THAT(world_.shims().Get(joins).joined, Contains(NamespaceType::kPid));
  for (const cri::NamespaceMode mode : {cri::CONTAINER, cri::NODE}) {
    cri::ContainerConfig config = World::ContainerConfig(cri::NamespaceMode_Name(mode));
    cri::NamespaceOption* options =
        config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
    *options = SharedPod().linux().security_context().namespace_options();
    options->set_pid(mode);
    const absl::StatusOr<std::string> id = world_.Create(pod, config);
    ASSERT_TRUE(id.ok()) << id.status();
    EXPECT_THAT(world_.shims().Get(*id).joined, Not(Contains(NamespaceType::kPid)));
  }
}

TEST_F(PodInitTest, InAPodWithoutOneAContainerThatAsksForItIsRefused) {
  const absl::StatusOr<std::string> pod = world_.Run(World::PodConfig("pod"));
  ASSERT_TRUE(pod.ok());
  cri::ContainerConfig config = World::ContainerConfig("main");
  *config.mutable_linux()->mutable_security_context()->mutable_namespace_options() =
      SharedPod().linux().security_context().namespace_options();
  const absl::Status refused = world_.Create(*pod, config).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("pid: POD"));
}

TEST_F(PodInitTest, ItsEndMakesThePodNotReadyAndTheRestIsRemovedAsEver) {
  const std::string pod = RunShared();
  const std::string id = StartIn(pod, "main");
  world_.shims().EndInit(pod);
  ASSERT_TRUE(AwaitNotReady(pod));
  EXPECT_EQ(world_.PodStatus(pod).state(), cri::SANDBOX_NOTREADY);
  EXPECT_TRUE(absl::IsFailedPrecondition(world_.Create(pod, World::ContainerConfig("b")).status()));
  ASSERT_TRUE(StopPod(pod).ok());
  EXPECT_EQ(world_.Status(id).state(), cri::CONTAINER_EXITED);
  ASSERT_TRUE(RemovePod(pod).ok());
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(PodInitTest, ItsEndWhileTheDaemonIsDownIsFoundAtTheStart) {
  const std::string dies = RunShared();
  cri::PodSandboxConfig other = SharedPod();
  other.mutable_metadata()->set_name("other");
  const absl::StatusOr<std::string> lives = world_.Run(other);
  ASSERT_TRUE(lives.ok());
  world_.Stop();
  world_.shims().EndInit(dies);
  world_.Restart();
  EXPECT_EQ(world_.PodStatus(dies).state(), cri::SANDBOX_NOTREADY);
  EXPECT_EQ(world_.PodStatus(*lives).state(), cri::SANDBOX_READY);
  world_.shims().EndInit(*lives);
  EXPECT_TRUE(AwaitNotReady(*lives)) << "it is watched again";
}

TEST_F(PodInitTest, OneThatDoesNotStartLeavesNothing) {
  world_.shims().FailNextInit(absl::InternalError("no process ids"));
  const absl::Status failed = world_.Run(SharedPod()).status();
  EXPECT_THAT(std::string(failed.message()), HasSubstr("no process ids"));
  EXPECT_THAT(world_.Leaks(), IsEmpty());
  for (const char* name : {"run_pod_after_init", "run_pod_after_commit"}) {
    ASSERT_TRUE(failpoint::Configure(absl::StrCat(name, "=1*error")).ok());
    EXPECT_FALSE(world_.Run(SharedPod()).ok());
    EXPECT_THAT(world_.Leaks(), IsEmpty()) << name;
  }
}

TEST_F(PodInitTest, ARetryJoinsThePodThatIsThere) {
  EXPECT_EQ(RunShared(), RunShared());
  EXPECT_THAT(world_.shims().inits(), SizeIs(1));
}

}  // namespace
}  // namespace berth::sandbox
