#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sandbox/filters.h"
#include "sandbox/made_path.h"
#include "sandbox/records.h"
#include "sandbox/testing/fakes.h"
#include "sandbox/text_rules.h"

namespace berth::sandbox {
namespace {

using testing::World;

ContainerView MakeContainer(const std::string& id, ContainerRecord::State state) {
  cri::ContainerConfig config = World::ContainerConfig("main");
  (*config.mutable_labels())["app"] = "web";
  ContainerRecord record;
  record.set_state(state);
  record.set_sandbox_id("abcdef");
  record.set_config(DeterministicBytes(config));
  return ContainerView::Make(id, record);
}

TEST(FilterTest, EveryGivenPartMustMatch) {
  const ContainerView view = MakeContainer("123456", ContainerRecord::RUNNING);
  cri::ContainerFilter filter;
  EXPECT_TRUE(Matches(view, filter));
  filter.set_id("123");
  filter.set_pod_sandbox_id("abc");
  filter.mutable_state()->set_state(cri::CONTAINER_RUNNING);
  (*filter.mutable_label_selector())["app"] = "web";
  EXPECT_TRUE(Matches(view, filter));
  cri::ContainerFilter other = filter;
  other.set_id("23");
  EXPECT_FALSE(Matches(view, other));
  other = filter;
  other.mutable_state()->set_state(cri::CONTAINER_CREATED);  // zero is a state, not "any"
  EXPECT_FALSE(Matches(view, other));
  other = filter;
  (*other.mutable_label_selector())["tier"] = "web";
  EXPECT_FALSE(Matches(view, other));
  other = filter;
  other.set_pod_sandbox_id("b");
  EXPECT_FALSE(Matches(view, other));
}

TEST(ListTest, ListsShowLabelsAndFilterByState) {
  World world;
  cri::PodSandboxConfig config = World::PodConfig("pod");
  (*config.mutable_labels())["app"] = "web";
  const std::string pod = world.Run(config).value_or("");
  const std::string one = world.Create(pod, World::ContainerConfig("one")).value_or("");
  const std::string two = world.Create(pod, World::ContainerConfig("two")).value_or("");
  ASSERT_TRUE(world.Start(two).ok());
  cri::ListContainersRequest request;
  EXPECT_EQ(ListContainers(world.core(), request).containers_size(), 2);
  request.mutable_filter()->mutable_state()->set_state(cri::CONTAINER_CREATED);
  const cri::ListContainersResponse created = ListContainers(world.core(), request);
  ASSERT_EQ(created.containers_size(), 1);
  EXPECT_EQ(created.containers(0).id(), one);
  EXPECT_EQ(created.containers(0).pod_sandbox_id(), pod);
  EXPECT_EQ(created.containers(0).image_id(), "sha256:" + std::string(64, 'a'));
  cri::ListPodSandboxRequest pods;
  (*pods.mutable_filter()->mutable_label_selector())["app"] = "web";
  pods.mutable_filter()->set_id(pod.substr(0, 8));
  ASSERT_EQ(ListPodSandbox(world.core(), pods).items_size(), 1);
  pods.mutable_filter()->mutable_state()->set_state(cri::SANDBOX_NOTREADY);
  EXPECT_EQ(ListPodSandbox(world.core(), pods).items_size(), 0);
}

TEST(RecordsTest, WhatIsStoredComesBackAndUnknownThingsAreDataLoss) {
  const std::string id(64, '1');
  SandboxRecord record;
  record.set_state(SandboxRecord::READY);
  record.set_config(DeterministicBytes(World::PodConfig("pod")));
  store::Record stored = ToStored(id, record);
  ASSERT_TRUE(SandboxFromStored(stored).ok());
  EXPECT_EQ(StateOf(*SandboxFromStored(stored)), PodState::kReady);
  store::Record bad = stored;
  bad.version = 2;
  EXPECT_TRUE(absl::IsDataLoss(SandboxFromStored(bad).status()));
  bad = stored;
  bad.id = "../x";
  EXPECT_TRUE(absl::IsDataLoss(SandboxFromStored(bad).status()));
  bad = stored;
  bad.body = "\xff\xff";
  EXPECT_TRUE(absl::IsDataLoss(SandboxFromStored(bad).status()));
  record.set_state(static_cast<SandboxRecord::State>(77));
  EXPECT_TRUE(absl::IsDataLoss(SandboxFromStored(ToStored(id, record)).status()));
  record.set_state(SandboxRecord::STATE_UNSPECIFIED);
  EXPECT_TRUE(absl::IsDataLoss(SandboxFromStored(ToStored(id, record)).status()));
}

TEST(TextRulesTest, PathsThatClimbOrHideAreNotClean) {
  for (const char* path : {"/a", "/a/b.c", "/"}) EXPECT_TRUE(IsCleanAbsolutePath(path)) << path;
  for (const char* path : {"", "a", "/a/", "//a", "/a/../b", "/a/./b", "/a\nb"}) {
    EXPECT_FALSE(IsCleanAbsolutePath(path)) << path;
  }
  EXPECT_TRUE(IsCleanRelativePath("a/0.log"));
  for (const char* path : {"", "/a", "a/..", "a//b"})
    EXPECT_FALSE(IsCleanRelativePath(path)) << path;
}

}  // namespace
}  // namespace berth::sandbox
