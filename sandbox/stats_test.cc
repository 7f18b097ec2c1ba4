// Stats over fakes: what is listed, what is computed, what is kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "sandbox/testing/fakes.h"
#include "sandbox/usage_messages.h"

namespace berth::sandbox {
namespace {

using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;
using testing::World;

os::CgroupStats Usage(uint64_t cpu_ns) {
  os::CgroupStats stats;
  stats.cpu_usage_ns = cpu_ns;
  stats.memory = os::CgroupStats::Memory();
  stats.memory->usage = 10000;
  stats.memory->working_set = 7000;
  stats.memory->rss = 6000;
  stats.memory->limit = 20000;
  stats.memory->swap_usage = 10;
  stats.memory->swap_limit = 100;
  stats.pids = 4;
  stats.cpu_pressure = os::PressurePair{{5, 1.5, 2.5, 3.5}, {6, 0, 0, 0}};
  return stats;
}

class StatsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cri::PodSandboxConfig config = World::PodConfig("pod");
    (*config.mutable_labels())["app"] = "web";
    pod_ = world_.Run(config).value();
    const PodPtr pod = world_.core().pods.Find(pod_);
    world_.resources().SetStats(pod->view()->record.cgroup_parent(), Usage(9000));
    world_.resources().SetLayer({8192, 2});
  }
  std::string Run(const std::string& name) {
    cri::ContainerConfig config = World::ContainerConfig(name);
    (*config.mutable_labels())["name"] = name;
    std::string id = world_.Create(pod_, config).value();
    EXPECT_TRUE(world_.Start(id).ok());
    world_.resources().SetStats(Find(id)->view()->record.cgroups_path(), Usage(1000));
    return id;
  }
  ContainerPtr Find(const std::string& id) { return world_.core().containers.Find(id); }
  absl::StatusOr<cri::ContainerStats> Stats(const std::string& id) {
    cri::ContainerStatsRequest request;
    request.set_container_id(id);
    absl::StatusOr<cri::ContainerStatsResponse> response = ContainerStats(world_.core(), request);
    if (!response.ok()) return response.status();
    return response->stats();
  }
  std::vector<std::string> Listed(const cri::ContainerStatsFilter& filter) {
    cri::ListContainerStatsRequest request;
    *request.mutable_filter() = filter;
    const cri::ListContainerStatsResponse response = ListContainerStats(world_.core(), request);
    std::vector<std::string> ids;
    for (const auto& stats : response.stats()) ids.push_back(stats.attributes().id());
    return ids;
  }
  World world_;
  std::string pod_;
};

TEST_F(StatsTest, ARunningContainerHasThemAll) {
  const std::string id = Run("main");
  const absl::StatusOr<cri::ContainerStats> stats = Stats(id);
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->attributes().id(), id);
  EXPECT_EQ(stats->attributes().metadata().name(), "main");
  EXPECT_EQ(stats->attributes().labels().at("name"), "main");
  EXPECT_EQ(stats->cpu().usage_core_nano_seconds().value(), 1000u);
  EXPECT_FALSE(stats->cpu().has_usage_nano_cores()) << "one sample is no rate";
  EXPECT_GT(stats->cpu().timestamp(), 0);
  EXPECT_DOUBLE_EQ(stats->cpu().psi().some().avg10(), 1.5);
  EXPECT_EQ(stats->cpu().psi().full().total(), 6u);
  EXPECT_EQ(stats->memory().working_set_bytes().value(), 7000u);
  EXPECT_EQ(stats->memory().available_bytes().value(), 13000u);
  EXPECT_FALSE(stats->memory().has_psi());
  EXPECT_EQ(stats->swap().swap_available_bytes().value(), 90u);
  EXPECT_EQ(stats->writable_layer().used_bytes().value(), 8192u);
  EXPECT_EQ(stats->writable_layer().inodes_used().value(), 2u);
  EXPECT_GT(stats->writable_layer().timestamp(), 0);
  EXPECT_NE(stats->writable_layer().fs_id().mountpoint(), "");
}

TEST_F(StatsTest, ListsHaveRunningContainersThatMatchEveryPartOfTheFilter) {
  const std::string one = Run("one");
  const std::string two = Run("two");
  const std::string created = world_.Create(pod_, World::ContainerConfig("created")).value();
  EXPECT_THAT(Listed({}), ::testing::UnorderedElementsAre(one, two));
  cri::ContainerStatsFilter filter;
  filter.set_id(one.substr(0, 20));
  EXPECT_THAT(Listed(filter), ::testing::ElementsAre(one));
  (*filter.mutable_label_selector())["name"] = "two";
  EXPECT_THAT(Listed(filter), IsEmpty());
  filter.clear_id();
  filter.set_pod_sandbox_id(pod_);
  EXPECT_THAT(Listed(filter), ::testing::ElementsAre(two));
  filter.set_pod_sandbox_id(std::string(64, '0'));
  EXPECT_THAT(Listed(filter), IsEmpty());
}

TEST_F(StatsTest, AnEndedContainerHasItsLayerAndNoMeterIsKept) {
  const std::string id = Run("main");
  ASSERT_TRUE(Stats(id).ok());
  EXPECT_EQ(world_.resources().open_meters(), 1);
  ASSERT_TRUE(world_.StopIn(id, 0).ok());
  ASSERT_TRUE(world_.AwaitReleased(id));
  EXPECT_EQ(world_.resources().open_meters(), 0);
  const absl::StatusOr<cri::ContainerStats> stats = Stats(id);
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_FALSE(stats->has_cpu());
  EXPECT_TRUE(stats->has_writable_layer());
  EXPECT_EQ(world_.resources().open_meters(), 0);
  EXPECT_THAT(Listed({}), IsEmpty());
}

TEST_F(StatsTest, OneThatVanishesIsLeftOutOfLists) {
  const std::string id = world_.Create(pod_, World::ContainerConfig("main")).value();
  ASSERT_TRUE(world_.Start(id).ok());  // its cgroup is not in the table
  EXPECT_THAT(Listed({}), IsEmpty());
  EXPECT_TRUE(absl::IsFailedPrecondition(Stats(id).status()));
  EXPECT_TRUE(absl::IsNotFound(Stats(std::string(64, '0')).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Stats("").status()));
}

TEST_F(StatsTest, ALayerIsNotMeasuredAtEachCall) {
  const std::string id = Run("main");
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Stats(id).ok());
  EXPECT_EQ(world_.resources().measurements(), 1);
}

TEST_F(StatsTest, APodHasItsOwnNumbersAndItsRunningContainers) {
  const std::string id = Run("main");
  cri::PodSandboxStatsRequest request;
  request.set_pod_sandbox_id(pod_);
  const absl::StatusOr<cri::PodSandboxStatsResponse> response =
      PodSandboxStats(world_.core(), request);
  ASSERT_TRUE(response.ok()) << response.status();
  const cri::PodSandboxStats& stats = response->stats();
  EXPECT_EQ(stats.attributes().id(), pod_);
  EXPECT_EQ(stats.attributes().labels().at("app"), "web");
  EXPECT_EQ(stats.linux().cpu().usage_core_nano_seconds().value(), 9000u);
  EXPECT_EQ(stats.linux().memory().rss_bytes().value(), 6000u);
  EXPECT_EQ(stats.linux().process().process_count().value(), 4u);
  EXPECT_FALSE(stats.linux().has_network()) << "it has the host's";
  ASSERT_THAT(stats.linux().containers(), SizeIs(1));
  EXPECT_EQ(stats.linux().containers(0).attributes().id(), id);
  request.set_pod_sandbox_id(std::string(64, '0'));
  EXPECT_TRUE(absl::IsNotFound(PodSandboxStats(world_.core(), request).status()));
}

TEST_F(StatsTest, PodListsHaveReadyPodsThatMatch) {
  const std::string other = world_.Run(World::PodConfig("other")).value();
  world_.resources().SetStats(world_.core().pods.Find(other)->view()->record.cgroup_parent(),
                              Usage(1));
  const std::string id = Run("main");
  cri::ListPodSandboxStatsRequest request;
  EXPECT_EQ(ListPodSandboxStats(world_.core(), request).stats_size(), 2);
  (*request.mutable_filter()->mutable_label_selector())["app"] = "web";
  const cri::ListPodSandboxStatsResponse found = ListPodSandboxStats(world_.core(), request);
  ASSERT_THAT(found.stats(), SizeIs(1));
  EXPECT_EQ(found.stats(0).attributes().id(), pod_);
  EXPECT_THAT(found.stats(0).linux().containers(), SizeIs(1));
  cri::StopPodSandboxRequest stop;
  stop.set_pod_sandbox_id(pod_);
  ASSERT_TRUE(StopPodSandbox(world_.core(), stop).ok());
  EXPECT_EQ(ListPodSandboxStats(world_.core(), request).stats_size(), 0);
}

TEST(UsageCellTest, TheRateIsThatOfTheLastPairAtLeastASecondApart) {
  UsageCell cell;
  constexpr int64_t kSecond = UsageCell::kMinIntervalNs;
  EXPECT_EQ(cell.NanoCores(500, kSecond), std::nullopt);
  EXPECT_EQ(cell.NanoCores(900, kSecond + 10), std::nullopt);
  EXPECT_THAT(cell.NanoCores(500 + kSecond, 3 * kSecond), Optional(kSecond / 2));
  EXPECT_THAT(cell.NanoCores(600 + kSecond, 3 * kSecond + 1), Optional(kSecond / 2));
  EXPECT_EQ(cell.NanoCores(0, 5 * kSecond), std::nullopt) << "another counter by now";
}

TEST(NetworkUsageTest, Eth0IsTheDefaultWhereverItStands) {
  const cri::NetworkUsage usage = ToNetworkUsage({{"net1", 1, 0, 2, 0}, {"eth0", 10, 1, 20, 2}}, 7);
  EXPECT_EQ(usage.timestamp(), 7);
  EXPECT_EQ(usage.default_interface().name(), "eth0");
  EXPECT_EQ(usage.default_interface().tx_errors().value(), 2u);
  ASSERT_THAT(usage.interfaces(), SizeIs(1));
  EXPECT_EQ(usage.interfaces(0).name(), "net1");
  EXPECT_EQ(ToNetworkUsage({{"net1", 1, 0, 2, 0}}, 7).default_interface().name(), "net1");
  EXPECT_FALSE(ToNetworkUsage({}, 7).has_default_interface());
}

}  // namespace
}  // namespace berth::sandbox
