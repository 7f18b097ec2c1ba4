#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "base/failpoint.h"
#include "sandbox/name_table.h"
#include "sandbox/operation_slot.h"
#include "sandbox/testing/fakes.h"

namespace berth::sandbox {
namespace {

using testing::World;

TEST(NameTableTest, ARetryInFlightGetsTheLeadersResult) {
  NameTable names;
  const NameTable::Ticket leader = names.Claim("a", "x");
  const NameTable::Ticket retry = names.Claim("a", "x");
  EXPECT_TRUE(leader.leader);
  EXPECT_FALSE(retry.leader);
  std::thread joiner([&] {
    const absl::StatusOr<std::string> id = retry.flight->Wait(Deadline::After(absl::Seconds(20)));
    EXPECT_EQ(id.value_or(""), "id");
  });
  names.Finish("a", leader.flight, std::string("id"));
  joiner.join();
}

TEST(NameTableTest, AFailureIsToldToThoseWhoJoinedAndFreesTheName) {
  NameTable names;
  const NameTable::Ticket leader = names.Claim("a", "x");
  const NameTable::Ticket retry = names.Claim("a", "x");
  names.Finish("a", leader.flight, absl::InternalError("no"));
  EXPECT_EQ(retry.flight->Wait(Deadline::After(absl::ZeroDuration())).status(),
            absl::InternalError("no"));
  EXPECT_TRUE(names.Claim("a", "x").leader);
}

TEST(NameTableTest, ReleaseFreesOnlyTheHoldersName) {
  NameTable names;
  names.Restore("a", "x", "id");
  names.Release("a", "other");
  EXPECT_FALSE(names.Claim("a", "x").leader);
  names.Release("a", "id");
  EXPECT_TRUE(names.Claim("a", "x").leader);
}

TEST(NameTableTest, WaitingHasADeadline) {
  NameTable names;
  const NameTable::Ticket leader = names.Claim("a", "x");
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      leader.flight->Wait(Deadline::After(absl::Milliseconds(1))).status()));
}

TEST(OperationSlotTest, ASecondCallWaitsItsTurnAndSaysWhoHasIt) {
  OperationSlot slot;
  {
    const auto held = slot.Acquire("create container", Deadline::Infinite());
    ASSERT_TRUE(held.ok());
    const auto second = slot.Acquire("stop", Deadline::After(absl::Milliseconds(1)));
    EXPECT_TRUE(absl::IsDeadlineExceeded(second.status()));
    EXPECT_NE(second.status().message().find("create container"), absl::string_view::npos);
  }
  EXPECT_TRUE(slot.Acquire("stop", Deadline::After(absl::ZeroDuration())).ok());
}

TEST(JoinTest, ManyRunsOfOneIdentityMakeOnePod) {
  World world;
  ASSERT_TRUE(failpoint::Configure("run_pod_after_pin=delay(50)").ok());
  std::vector<std::thread> callers;
  std::vector<std::string> ids(8);
  for (size_t i = 0; i < ids.size(); ++i) {
    callers.emplace_back([&, i] { ids[i] = world.Run(World::PodConfig("pod")).value_or(""); });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(failpoint::Configure("").ok());
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 1u);
  EXPECT_NE(ids[0], "");
  EXPECT_EQ(ListPodSandbox(world.core(), {}).items_size(), 1);
}

TEST(JoinTest, ManyCreatesOfOneIdentityMakeOneContainer) {
  World world;
  const std::string pod = world.Run(World::PodConfig("pod")).value_or("");
  ASSERT_TRUE(failpoint::Configure("create_container_after_launch=delay(50)").ok());
  std::vector<std::thread> callers;
  std::vector<std::string> ids(8);
  for (size_t i = 0; i < ids.size(); ++i) {
    callers.emplace_back(
        [&, i] { ids[i] = world.Create(pod, World::ContainerConfig("main")).value_or(""); });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(failpoint::Configure("").ok());
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 1u);
  EXPECT_NE(ids[0], "");
}

TEST(JoinTest, ManyStopsAndRemovesAtOnceAllSucceed) {
  World world;
  const std::string pod = world.Run(World::PodConfig("pod")).value_or("");
  const std::string id = world.Create(pod, World::ContainerConfig("main")).value_or("");
  ASSERT_TRUE(world.Start(id).ok());
  std::vector<std::thread> callers;
  std::atomic<int> failures{0};
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&, i] {
      cri::StopPodSandboxRequest stop;
      stop.set_pod_sandbox_id(pod);
      cri::RemovePodSandboxRequest remove;
      remove.set_pod_sandbox_id(pod);
      if (!world.StopIn(id, i).ok() || !StopPodSandbox(world.core(), stop).ok() ||
          !world.Remove(id).ok() || !RemovePodSandbox(world.core(), remove).ok()) {
        ++failures;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(failures, 0);
  EXPECT_TRUE(world.Leaks().empty());
}

}  // namespace
}  // namespace berth::sandbox
