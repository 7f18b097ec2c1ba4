// A failure at every durable side effect of a verb, one after another: nothing is left but what the
// caller can still remove, and the same call succeeds afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "sandbox/testing/fakes.h"

namespace berth::sandbox {
namespace {

using ::testing::IsEmpty;
using testing::World;

std::vector<std::string> Points(absl::string_view prefix) {
  std::vector<std::string> points;
  for (const std::string& name : failpoint::List()) {
    if (absl::StartsWith(name, prefix)) points.push_back(name);
  }
  return points;
}

class RollbackTest : public ::testing::Test {
 protected:
  ~RollbackTest() override { EXPECT_TRUE(failpoint::Configure("").ok()); }
  void FailOnceAt(const std::string& point) {
    ASSERT_TRUE(failpoint::Configure(absl::StrCat(point, "=1*error")).ok());
  }
  absl::Status RemovePod(World& world, const std::string& id) {
    cri::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    return RemovePodSandbox(world.core(), request);
  }
};

TEST_F(RollbackTest, RunPodSandboxLeavesNothingWhereverItFails) {
  const std::vector<std::string> points = Points("run_pod_");
  ASSERT_GE(points.size(), 6u);
  for (const std::string& point : points) {
    SCOPED_TRACE(point);
    World world;
    cri::PodSandboxConfig config = World::PodConfig("pod");
    config.set_log_directory(world.dir() + "/logs/a/b");
    FailOnceAt(point);
    EXPECT_FALSE(world.Run(config).ok());
    EXPECT_THAT(world.Leaks(), IsEmpty());
    EXPECT_FALSE(std::filesystem::exists(world.dir() + "/logs"));
    const absl::StatusOr<std::string> again = world.Run(config);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(RemovePod(world, *again).ok());
    EXPECT_THAT(world.Leaks(), IsEmpty());
  }
}

TEST_F(RollbackTest, CreateContainerLeavesNothingWhereverItFails) {
  const std::vector<std::string> points = Points("create_container_");
  ASSERT_GE(points.size(), 5u);
  for (const std::string& point : points) {
    SCOPED_TRACE(point);
    World world;
    cri::PodSandboxConfig pod_config = World::PodConfig("pod");
    pod_config.set_log_directory(world.dir() + "/logs");
    const absl::StatusOr<std::string> pod = world.Run(pod_config);
    ASSERT_TRUE(pod.ok());
    const std::vector<std::string> before = world.Leaks();
    cri::ContainerConfig config = World::ContainerConfig("main");
    config.set_log_path("main/0.log");
    FailOnceAt(point);
    EXPECT_FALSE(world.Create(*pod, config).ok());
    EXPECT_EQ(world.Leaks(), before);
    EXPECT_FALSE(std::filesystem::exists(world.dir() + "/logs/main"));
    const absl::StatusOr<std::string> again = world.Create(*pod, config);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(world.Start(*again).ok());
    EXPECT_TRUE(RemovePod(world, *pod).ok());
    EXPECT_THAT(world.Leaks(), IsEmpty());
  }
}

TEST_F(RollbackTest, ALauncherThatFailsLeavesNothingAndItsCauseIsTold) {
  World world;
  const std::string pod = world.Run(World::PodConfig("pod")).value_or("");
  const std::vector<std::string> before = world.Leaks();
  world.shims().FailNextCreate(absl::InvalidArgumentError("working directory /x: not a directory"));
  const absl::Status failed = world.Create(pod, World::ContainerConfig("main")).status();
  EXPECT_TRUE(absl::IsInvalidArgument(failed));
  EXPECT_TRUE(absl::StrContains(failed.message(), "/x: not a directory")) << failed;
  EXPECT_EQ(world.Leaks(), before);
}

TEST_F(RollbackTest, StartContainerEndsExitedWhereverItFails) {
  for (const std::string& point : Points("start_container_")) {
    SCOPED_TRACE(point);
    World world;
    const std::string pod = world.Run(World::PodConfig("pod")).value_or("");
    const std::string id = world.Create(pod, World::ContainerConfig("main")).value_or("");
    FailOnceAt(point);
    EXPECT_FALSE(world.Start(id).ok());
    EXPECT_EQ(world.Status(id).state(), cri::CONTAINER_EXITED);
    EXPECT_EQ(world.Status(id).reason(), "StartError");
    EXPECT_TRUE(RemovePod(world, pod).ok());
    EXPECT_THAT(world.Leaks(), IsEmpty());
  }
}

TEST_F(RollbackTest, RemovalsFinishOnTheSecondCallWhereverTheFirstFailed) {
  std::vector<std::string> points;
  for (const char* prefix : {"remove_", "release_", "stop_pod_", "stop_container_", "unpin_"}) {
    for (std::string& point : Points(prefix)) points.push_back(std::move(point));
  }
  ASSERT_GE(points.size(), 10u);
  for (const std::string& point : points) {
    SCOPED_TRACE(point);
    World world;
    const std::string pod = world.Run(World::PodConfig("pod")).value_or("");
    const std::string id = world.Create(pod, World::ContainerConfig("main")).value_or("");
    ASSERT_TRUE(world.Start(id).ok());
    FailOnceAt(point);
    // A release in the background may take the injected failure instead.
    const absl::Status first = RemovePod(world, pod);
    if (!first.ok()) EXPECT_TRUE(RemovePod(world, pod).ok());
    EXPECT_THAT(world.Leaks(), IsEmpty());
  }
}

TEST_F(RollbackTest, ADaemonThatIsGoneAfterAnyFailureIsFollowedByACleanState) {
  // As a kill at that point: the process ends without its rollback, the next start reconciles.
  for (const char* prefix : {"remove_", "release_", "stop_pod_"}) {
    for (const std::string& point : Points(prefix)) {
      SCOPED_TRACE(point);
      World world;
      const std::string pod = world.Run(World::PodConfig("pod")).value_or("");
      const std::string id = world.Create(pod, World::ContainerConfig("main")).value_or("");
      ASSERT_TRUE(world.Start(id).ok());
      FailOnceAt(point);
      const absl::Status first = RemovePod(world, pod);
      world.Restart();
      EXPECT_TRUE(RemovePod(world, pod).ok()) << first;
      EXPECT_THAT(world.Leaks(), IsEmpty());
    }
  }
}

}  // namespace
}  // namespace berth::sandbox
