#include "base/os/systemd_unit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace berth::os {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr uint64_t kInfinity = UINT64_MAX;

TEST(ScopeNameTest, SlicesNestByTheirDashes) {
  const absl::StatusOr<ScopeName> name = ParseScopeName("kubepods-burstable-pod1.slice:berth:abc");
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(name->slice, "kubepods-burstable-pod1.slice");
  EXPECT_EQ(name->unit, "berth-abc.scope");
  EXPECT_EQ(name->cgroup,
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/"
            "berth-abc.scope");
}

TEST(ScopeNameTest, SliceAndPrefixMayBeLeftOut) {
  EXPECT_EQ(ParseScopeName("::abc")->cgroup, "/system.slice/abc.scope");
  EXPECT_EQ(ParseScopeName("-.slice:p:abc")->cgroup, "/p-abc.scope");
}

TEST(ScopeNameTest, WhatIsNoNameIsRefused) {
  for (const char* bad :
       {"/a/b", "a.slice:b", "a.slice:b:", "a:b:c", "a/b.slice:c:d", "a--b.slice:c:d",
        "-a.slice:c:d", ".slice:c:d", "a.slice:b:c d", "a.slice:../b:c"}) {
    EXPECT_EQ(ParseScopeName(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_TRUE(IsScopeForm("a.slice:b:c"));
  EXPECT_FALSE(IsScopeForm("/a:b:c"));
  EXPECT_FALSE(IsScopeForm(""));
}

TEST(ScopeNameTest, AParentIsASliceOrItsWholePath) {
  EXPECT_TRUE(IsSliceForm("a-b.slice"));
  EXPECT_TRUE(IsSliceForm("/a.slice/a-b.slice/"));
  EXPECT_FALSE(IsSliceForm("/kubepods/burstable/pod1"));
  EXPECT_EQ(*SliceOf("a-b.slice"), "a-b.slice");
  EXPECT_EQ(*SliceOf("/a.slice/a-b.slice/"), "a-b.slice");
  const absl::Status elsewhere = SliceOf("/x.slice/a-b.slice").status();
  EXPECT_EQ(elsewhere.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(elsewhere.message()), HasSubstr("/a.slice/a-b.slice"));
}

TEST(CpuMaskTest, ListsAreBitsLowestFirst) {
  EXPECT_THAT(CpuMask("0-3,7"), ElementsAre(0x8f));
  EXPECT_THAT(CpuMask("9"), ElementsAre(0, 2));
  for (const char* bad : {"", "a", "3-1", "1-", "99999"}) EXPECT_THAT(CpuMask(bad), IsEmpty());
}

std::map<std::string, UnitProperty> ByName(const std::vector<UnitProperty>& properties) {
  std::map<std::string, UnitProperty> map;
  for (const UnitProperty& property : properties) map[property.name] = property;
  return map;
}

uint64_t Number(const std::vector<UnitProperty>& properties, const std::string& name) {
  const auto map = ByName(properties);
  const auto found = map.find(name);
  return found == map.end() ? 4711 : std::get<uint64_t>(found->second.value);
}

CgroupLimits Limits() {
  CgroupLimits limits;
  limits.cpu_shares = 1024;
  limits.cpu_quota_us = 50000;
  limits.cpu_period_us = 100000;
  limits.cpuset_cpus = "0-1";
  limits.memory_bytes = 1000;
  limits.memory_swap_bytes = 1500;
  limits.memory_reservation_bytes = 700;
  limits.pids_max = 7;
  limits.block_io.read_bps = {{8, 0, 600}};
  limits.unified["memory.high"] = "max";
  return limits;
}

TEST(ScopePropertyTest, EveryLimitThatSystemdWouldWriteIsSaidInItsWords) {
  const std::vector<UnitProperty> v2 = LimitProperties(Limits(), CgroupLayout::kV2);
  EXPECT_EQ(Number(v2, "CPUWeight"), 100u);
  EXPECT_EQ(Number(v2, "CPUQuotaPerSecUSec"), 500000u);
  EXPECT_EQ(Number(v2, "CPUQuotaPeriodUSec"), 100000u);
  EXPECT_EQ(Number(v2, "MemoryMax"), 1000u);
  EXPECT_EQ(Number(v2, "MemorySwapMax"), 500u);
  EXPECT_EQ(Number(v2, "MemoryLow"), 700u);
  EXPECT_EQ(Number(v2, "MemoryHigh"), kInfinity);
  EXPECT_EQ(Number(v2, "TasksMax"), 7u);
  EXPECT_THAT(std::get<std::vector<uint8_t>>(ByName(v2)["AllowedCPUs"].value), ElementsAre(3));
  EXPECT_THAT(std::get<UnitProperty::Rates>(ByName(v2)["IOReadBandwidthMax"].value),
              ElementsAre(Pair("/dev/block/8:0", 600)));
}

TEST(ScopePropertyTest, V1HasTheOlderNames) {
  const std::vector<UnitProperty> v1 = LimitProperties(Limits(), CgroupLayout::kHybrid);
  EXPECT_EQ(Number(v1, "CPUShares"), 1024u);
  EXPECT_EQ(Number(v1, "MemoryLimit"), 1000u);
  EXPECT_EQ(Number(v1, "MemoryMax"), 4711u);
  EXPECT_EQ(Number(v1, "TasksMax"), 7u);
}

TEST(ScopePropertyTest, AQuotaIsRoundedUpToWholePercents) {
  CgroupLimits limits;
  limits.cpu_quota_us = 1;
  limits.cpu_period_us = 1000;
  EXPECT_EQ(Number(LimitProperties(limits, CgroupLayout::kV2), "CPUQuotaPerSecUSec"), 10000u);
  limits.cpu_quota_us = -1;
  EXPECT_EQ(Number(LimitProperties(limits, CgroupLayout::kV2), "CPUQuotaPerSecUSec"), kInfinity);
}

TEST(ScopePropertyTest, OnV1TheDeviceListIsSystemdsToo) {
  CgroupLimits limits;
  limits.devices = {{false, 'a', {}, {}, "rwm"},
                    {true, 'c', 1, 3, "rw"},
                    {true, 'c', 136, {}, "rwm"},
                    {true, 'a', {}, {}, "m"}};
  auto v1 = ByName(LimitProperties(limits, CgroupLayout::kV1));
  EXPECT_EQ(std::get<std::string>(v1["DevicePolicy"].value), "strict");
  EXPECT_THAT(std::get<UnitProperty::Pairs>(v1["DeviceAllow"].value),
              ElementsAre(Pair("/dev/char/1:3", "rw"), Pair("char-136", "rwm"), Pair("char-*", "m"),
                          Pair("block-*", "m")));
  limits.devices = {{true, 'a', {}, {}, "rwm"}};
  v1 = ByName(LimitProperties(limits, CgroupLayout::kV1));
  EXPECT_EQ(std::get<std::string>(v1["DevicePolicy"].value), "auto");
  EXPECT_THAT(LimitProperties(limits, CgroupLayout::kV2), IsEmpty());
}

TEST(ScopePropertyTest, AScopeIsDelegatedAndGoesByItself) {
  const ScopeName name = *ParseScopeName("a.slice:b:c");
  auto scope = ByName(ScopeProperties(name, CgroupLimits(), CgroupLayout::kV2));
  EXPECT_EQ(std::get<std::string>(scope["Slice"].value), "a.slice");
  EXPECT_TRUE(std::get<bool>(scope["Delegate"].value));
  EXPECT_FALSE(std::get<bool>(scope["DefaultDependencies"].value));
  EXPECT_EQ(std::get<std::string>(scope["CollectMode"].value), "inactive-or-failed");
  EXPECT_EQ(std::get<uint64_t>(scope["TasksMax"].value), kInfinity);
}

}  // namespace
}  // namespace berth::os
