// UpdateContainerResources over fakes: all or nothing, on record, and whole again after a kill.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/failpoint.h"
#include "sandbox/testing/fakes.h"

namespace berth::sandbox {
namespace {

using ::testing::HasSubstr;
using testing::World;

class UpdateResourcesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pod_ = world_.Run(World::PodConfig("pod")).value();
    cri::ContainerConfig config = World::ContainerConfig("main");
    cri::LinuxContainerResources* resources = config.mutable_linux()->mutable_resources();
    resources->set_cpu_shares(512);
    resources->set_memory_limit_in_bytes(64 << 20);
    id_ = world_.Create(pod_, config).value();
    cgroup_ = world_.core().containers.Find(id_)->view()->record.cgroups_path();
    // What the shim has set.
    os::CgroupLimits limits;
    limits.cpu_shares = 512;
    limits.memory_bytes = limits.memory_swap_bytes = 64 << 20;
    ASSERT_TRUE(world_.core().resources->Change(cgroup_, limits).ok());
  }
  void TearDown() override { EXPECT_TRUE(failpoint::Configure("").ok()); }
  absl::Status Update(const cri::LinuxContainerResources& resources) {
    cri::UpdateContainerResourcesRequest request;
    request.set_container_id(id_);
    *request.mutable_linux() = resources;
    return UpdateContainerResources(world_.core(), request);
  }
  static cri::LinuxContainerResources Bigger() {
    cri::LinuxContainerResources resources;
    resources.set_cpu_shares(1024);
    resources.set_memory_limit_in_bytes(128 << 20);
    return resources;
  }
  std::string File(const std::string& file) { return world_.resources().Get(cgroup_, file); }
  cri::LinuxContainerResources Shown() { return world_.Status(id_).resources().linux(); }
  bool HasIntent() { return world_.core().containers.Find(id_)->view()->record.has_update(); }
  void ExpectOld() {
    EXPECT_EQ(File("cpu.shares"), "512");
    EXPECT_EQ(File("memory"), std::to_string(64 << 20));
    EXPECT_EQ(File("swap"), std::to_string(64 << 20));
    EXPECT_EQ(Shown().cpu_shares(), 512);
    EXPECT_EQ(Shown().memory_limit_in_bytes(), 64 << 20);
    EXPECT_FALSE(HasIntent());
  }
  void ExpectNew() {
    EXPECT_EQ(File("cpu.shares"), "1024");
    EXPECT_EQ(File("memory"), std::to_string(128 << 20));
    EXPECT_EQ(Shown().cpu_shares(), 1024);
    EXPECT_EQ(Shown().memory_limit_in_bytes(), 128 << 20);
    EXPECT_FALSE(HasIntent());
  }

  World world_;
  std::string pod_, id_, cgroup_;
};

TEST_F(UpdateResourcesTest, NewLimitsAreInForceShownAndKeptOverARestart) {
  for (const bool running : {false, true}) {
    if (running) ASSERT_TRUE(world_.Start(id_).ok());
    const absl::Status updated = Update(Bigger());
    ASSERT_TRUE(updated.ok()) << updated;
    ExpectNew();
    world_.Restart();
    ExpectNew();
  }
}

TEST_F(UpdateResourcesTest, ZeroLeavesAValueAsItIs) {
  cri::LinuxContainerResources only_quota;
  only_quota.set_cpu_quota(20000);
  ASSERT_TRUE(Update(only_quota).ok());
  EXPECT_EQ(File("cpu.quota"), "20000");
  EXPECT_EQ(Shown().cpu_quota(), 20000);
  EXPECT_EQ(Shown().cpu_shares(), 512);
  ExpectOld();
  EXPECT_TRUE(Update({}).ok());
}

TEST_F(UpdateResourcesTest, AnErrorHalfWayPutsEveryOldValueBack) {
  world_.resources().FailNextChange(absl::InvalidArgumentError("the kernel says no"));
  const absl::Status updated = Update(Bigger());
  EXPECT_TRUE(absl::IsInvalidArgument(updated)) << updated;
  EXPECT_THAT(std::string(updated.message()), HasSubstr(id_));
  EXPECT_THAT(std::string(updated.message()), HasSubstr("the kernel says no"));
  ExpectOld();
  EXPECT_TRUE(Update(Bigger()).ok());
}

TEST_F(UpdateResourcesTest, TheScoreOfTheFirstProcessIsClampedAndTakenBackToo) {
  cri::LinuxContainerResources resources = Bigger();
  resources.set_oom_score_adj(-500);
  ASSERT_TRUE(Update(resources).ok());
  EXPECT_EQ(world_.resources().oom_score_adj(), 0) << "this host allows no less";
  resources.set_oom_score_adj(300);
  ASSERT_TRUE(Update(resources).ok());
  EXPECT_EQ(world_.resources().oom_score_adj(), 300);
  resources.set_oom_score_adj(600);
  world_.resources().FailNextChange(absl::InternalError("no"));
  EXPECT_FALSE(Update(resources).ok());
  EXPECT_EQ(world_.resources().oom_score_adj(), 300);
}

TEST_F(UpdateResourcesTest, AbsurdValuesNameTheirField) {
  cri::LinuxContainerResources resources;
  resources.set_cpu_period(10);
  EXPECT_THAT(std::string(Update(resources).message()), HasSubstr("cpu_period"));
  EXPECT_TRUE(absl::IsInvalidArgument(Update(resources)));
  // Together with what is in force: a swap limit below the memory limit that stays.
  resources = {};
  resources.set_memory_swap_limit_in_bytes(32 << 20);
  EXPECT_THAT(std::string(Update(resources).message()), HasSubstr("memory_swap_limit_in_bytes"));
  ExpectOld();
}

TEST_F(UpdateResourcesTest, OnlyACreatedOrRunningContainerHasLimitsToUpdate) {
  ASSERT_TRUE(world_.StopIn(id_, 0).ok());
  const absl::Status updated = Update(Bigger());
  EXPECT_TRUE(absl::IsFailedPrecondition(updated)) << updated;
  EXPECT_THAT(std::string(updated.message()), HasSubstr("exited"));
  cri::UpdateContainerResourcesRequest request;
  request.set_container_id(std::string(64, '0'));
  EXPECT_TRUE(absl::IsNotFound(UpdateContainerResources(world_.core(), request)));
  request.set_container_id("");
  EXPECT_TRUE(absl::IsInvalidArgument(UpdateContainerResources(world_.core(), request)));
}

// A kill leaves what an undo that fails leaves: the intent and limits of both kinds.
TEST_F(UpdateResourcesTest, WhatAKillCutShortIsUndoneAtTheNextStart) {
  world_.resources().FailNextChange(absl::InternalError("cut short"));
  world_.resources().FailRestores(absl::InternalError("killed"));
  ASSERT_TRUE(failpoint::Configure("settle_update_before_commit=error").ok());
  EXPECT_FALSE(Update(Bigger()).ok());
  EXPECT_TRUE(HasIntent());
  EXPECT_EQ(File("cpu.shares"), "1024");
  EXPECT_EQ(Shown().cpu_shares(), 512);
  ASSERT_TRUE(failpoint::Configure("").ok());
  world_.resources().FailRestores(absl::OkStatus());
  world_.Restart();
  ExpectOld();
}

TEST_F(UpdateResourcesTest, WhatCannotBeUndoneIsFinished) {
  world_.resources().FailRestores(absl::FailedPreconditionError("in use by now"));
  world_.resources().FailNextChange(absl::InternalError("cut short"));
  EXPECT_FALSE(Update(Bigger()).ok());
  ExpectNew();
}

TEST_F(UpdateResourcesTest, TheNextUpdateSettlesTheOneBefore) {
  ASSERT_TRUE(failpoint::Configure(
                  "update_resources_after_limits=error;settle_update_before_commit=1*error")
                  .ok());
  EXPECT_FALSE(Update(Bigger()).ok());
  EXPECT_TRUE(HasIntent());
  ASSERT_TRUE(failpoint::Configure("").ok());
  cri::LinuxContainerResources only_quota;
  only_quota.set_cpu_quota(20000);
  EXPECT_TRUE(Update(only_quota).ok());
  ExpectOld();
  EXPECT_EQ(Shown().cpu_quota(), 20000);
}

}  // namespace
}  // namespace berth::sandbox
