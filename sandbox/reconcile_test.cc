// Starts over what an earlier process left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "sandbox/container_end.h"
#include "sandbox/paths.h"
#include "sandbox/testing/fakes.h"

namespace berth::sandbox {
namespace {

using testing::FakeShims;
using ::testing::IsEmpty;
using testing::World;

class ReconcileTest : public ::testing::Test {
 protected:
  ReconcileTest() {
    pod_ = world_.Run(World::PodConfig("pod")).value_or("");
    container_ = world_.Create(pod_, World::ContainerConfig("main")).value_or("");
  }
  // Changes a stored container record behind the daemon's back.
  void Rewrite(const std::function<void(ContainerRecord&)>& edit) {
    ContainerRecord record = world_.core().containers.Find(container_)->view()->record;
    world_.Stop();
    edit(record);
    Put(ToStored(container_, record));
  }
  void RewritePod(const std::function<void(SandboxRecord&)>& edit) {
    SandboxRecord record = world_.core().pods.Find(pod_)->view()->record;
    world_.Stop();
    edit(record);
    Put(ToStored(pod_, record));
  }
  void Put(store::Record record) {
    store::Batch batch;
    batch.Put(std::move(record));
    ASSERT_TRUE(world_.store().Commit(batch, store::Sync::kNormal).ok());
  }
  bool RemovePod() {
    cri::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(pod_);
    return RemovePodSandbox(world_.core(), request).ok();
  }

  World world_;
  std::string pod_;
  std::string container_;
};

TEST_F(ReconcileTest, ARunningContainerIsWatchedAgainAndItsExitIsSeen) {
  ASSERT_TRUE(world_.Start(container_).ok());
  world_.Restart();
  EXPECT_EQ(world_.Status(container_).state(), cri::CONTAINER_RUNNING);
  EXPECT_EQ(world_.PodStatus(pod_).state(), cri::SANDBOX_READY);
  EXPECT_EQ(world_.images().held().size(), 1u);
  world_.shims().Exit(container_, 37);
  ASSERT_TRUE(world_.AwaitReleased(container_));
  EXPECT_EQ(world_.Status(container_).exit_code(), 37);
  EXPECT_TRUE(RemovePod());
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(ReconcileTest, AnExitWhileTheDaemonWasDownIsTaken) {
  ASSERT_TRUE(world_.Start(container_).ok());
  world_.Stop();
  world_.shims().Exit(container_, 37);
  world_.Restart();
  EXPECT_EQ(world_.Status(container_).state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(world_.Status(container_).exit_code(), 37);
}

TEST_F(ReconcileTest, AnExitRecordOfADeadShimIsTaken) {
  ASSERT_TRUE(world_.Start(container_).ok());
  world_.Stop();
  world_.shims().Exit(container_, 3);
  world_.shims().Edit(container_, [](FakeShims::Shim& shim) { shim.alive = false; });
  world_.Restart();
  EXPECT_EQ(world_.Status(container_).exit_code(), 3);
  EXPECT_EQ(world_.Status(container_).reason(), "Error");
}

TEST_F(ReconcileTest, ADeadShimWithoutAWordIsLost) {
  ASSERT_TRUE(world_.Start(container_).ok());
  world_.Stop();
  world_.shims().Edit(container_, [](FakeShims::Shim& shim) { shim.alive = false; });
  world_.Restart();
  EXPECT_EQ(world_.Status(container_).reason(), "ShimLost");
  EXPECT_EQ(world_.Status(container_).exit_code(), 137);
}

TEST_F(ReconcileTest, AStartWhoseCommitWasCutIsSeenAsRunning) {
  world_.Stop();
  world_.shims().Edit(container_,
                      [](FakeShims::Shim& shim) { shim.phase = shim::ShimPhase::kRunning; });
  world_.Restart();
  EXPECT_EQ(world_.Status(container_).state(), cri::CONTAINER_RUNNING);
}

TEST_F(ReconcileTest, AMuteShimKeepsItsRecordedStateAndIsReconnectedLater) {
  ASSERT_TRUE(world_.Start(container_).ok());
  world_.Stop();
  world_.shims().Edit(container_, [](FakeShims::Shim& shim) { shim.mute = true; });
  world_.Restart();
  EXPECT_EQ(world_.Status(container_).state(), cri::CONTAINER_RUNNING);
}

TEST_F(ReconcileTest, AHalfMadeContainerIsUndone) {
  Rewrite([](ContainerRecord& record) { record.set_state(ContainerRecord::CREATING); });
  world_.Restart();
  EXPECT_EQ(ListContainers(world_.core(), {}).containers_size(), 0);
  EXPECT_EQ(world_.shims().Count(), 0u);
  EXPECT_THAT(world_.images().held(), IsEmpty());
  // Its name is free again.
  EXPECT_TRUE(world_.Create(pod_, World::ContainerConfig("main")).ok());
}

TEST_F(ReconcileTest, AHalfRemovedContainerIsRemoved) {
  Rewrite([](ContainerRecord& record) { record.set_state(ContainerRecord::REMOVING); });
  world_.Restart();
  EXPECT_EQ(world_.core().containers.Find(container_), nullptr);
  EXPECT_EQ(world_.shims().Count(), 0u);
}

TEST_F(ReconcileTest, AHalfMadePodIsUndone) {
  ASSERT_TRUE(world_.Remove(container_).ok());
  RewritePod([](SandboxRecord& record) { record.set_state(SandboxRecord::CREATING); });
  world_.Restart();
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(ReconcileTest, AHalfRemovedPodIsRemovedWithItsContainers) {
  RewritePod([](SandboxRecord& record) { record.set_state(SandboxRecord::REMOVING); });
  world_.Restart();
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(ReconcileTest, AfterAReplyThatWasLostARetryGetsTheSameIds) {
  world_.Restart();
  EXPECT_EQ(world_.Run(World::PodConfig("pod")).value_or(""), pod_);
  EXPECT_EQ(world_.Create(pod_, World::ContainerConfig("main")).value_or(""), container_);
}

TEST_F(ReconcileTest, AfterARebootContainersHaveExitedAndPodsAreNotReady) {
  ASSERT_TRUE(world_.Start(container_).ok());
  world_.boot_id = "boot-2";
  world_.Restart();
  EXPECT_EQ(world_.Status(container_).state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(world_.Status(container_).exit_code(), 255);
  EXPECT_EQ(world_.Status(container_).reason(), "NodeRestarted");
  EXPECT_EQ(world_.PodStatus(pod_).state(), cri::SANDBOX_NOTREADY);
  EXPECT_THAT(world_.host().pins(), IsEmpty());
  EXPECT_TRUE(RemovePod());
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(ReconcileTest, AnUnknownVersionIsPutAsideAndWhatItNamedIsRemoved) {
  world_.Stop();
  store::Record record;
  record.kind = kContainerKind;
  record.id = container_;
  record.version = kRecordVersion + 1;
  record.body = "whatever";
  Put(record);
  world_.Restart();
  EXPECT_EQ(world_.store().CountQuarantined().value_or(0), 1u);
  EXPECT_EQ(ListContainers(world_.core(), {}).containers_size(), 0);
  EXPECT_EQ(world_.shims().Count(), 0u);
  EXPECT_TRUE(RemovePod());
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(ReconcileTest, AContainerWithoutItsPodIsKilledAndRemoved) {
  ASSERT_TRUE(world_.Start(container_).ok());
  world_.Stop();
  store::Batch batch;
  batch.Delete(kSandboxKind, pod_);
  ASSERT_TRUE(world_.store().Commit(batch, store::Sync::kNormal).ok());
  world_.Restart();
  EXPECT_EQ(world_.host().killed().size(), 2u);  // the container's cgroup, the pod's
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(ReconcileTest, WhatNoRecordNamesIsRemoved) {
  ASSERT_TRUE(RemovePod());
  world_.Stop();
  const std::string stray(64, 'd');
  for (const std::string& dir :
       {paths::RunDirs(world_.options), paths::ContainerDirs(world_.options),
        paths::PodDirs(world_.options)}) {
    std::filesystem::create_directories(absl::StrCat(dir, "/", stray));
  }
  world_.host().AddPin(stray);
  world_.network().AddAttached(stray);
  world_.host().AddCgroup("/berth/" + stray);
  world_.Restart();
  EXPECT_TRUE(world_.AwaitClean()) << world_.Leaks().front();
  EXPECT_GE(world_.images().collections(), 2);
}

}  // namespace
}  // namespace berth::sandbox
