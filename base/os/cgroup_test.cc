#include "base/os/cgroup.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/cgroup_internal.h"
#include "base/os/file.h"
#include "base/os/test_dir.h"

namespace berth::os {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr char kGroup[] = "/kubepods/pod1";

// A tree of plain files. Unlike the kernel's, a file keeps the longest of what was written.
class CgroupTest : public ::testing::Test {
 protected:
  void File(const std::string& path, const std::string& text = "") { dir_.Write(path, text); }
  std::string Text(const std::string& path) {
    absl::StatusOr<std::string> text = ReadFile(dir_ / path, 4096);
    return text.ok() ? *text : std::string(text.status().message());
  }
  void V1Hierarchy(const std::string& name, const std::vector<std::string>& files) {
    for (const std::string& group : {std::string(), std::string(kGroup)}) {
      for (const char* file : {"tasks", "cgroup.procs"}) File(absl::StrCat(name, group, "/", file));
      for (const std::string& file : files) File(absl::StrCat(name, group, "/", file));
    }
  }
  void V1Host() {
    V1Hierarchy("cpu,cpuacct", {"cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us"});
    ASSERT_EQ(symlink("cpu,cpuacct", (dir_ / "cpu").c_str()), 0);
    V1Hierarchy("cpuset", {});
    for (const char* group : {"cpuset", "cpuset/kubepods", "cpuset/kubepods/pod1"}) {
      File(std::string(group) + "/cpuset.cpus", group == std::string("cpuset") ? "0-3\n" : "\n");
      File(std::string(group) + "/cpuset.mems", "0\n");
    }
    V1Hierarchy("memory", {});
    File("memory/kubepods/pod1/memory.limit_in_bytes", "1000\n");
    File("memory/kubepods/pod1/memory.memsw.limit_in_bytes", "1000\n");
    V1Hierarchy("pids", {"pids.max"});
    V1Hierarchy("devices", {"devices.allow", "devices.deny"});
    V1Hierarchy("systemd", {});
  }
  void V2Tree(const std::string& root, const std::string& controllers) {
    for (const std::string& group :
         {std::string(), std::string("/kubepods"), std::string(kGroup)}) {
      File(root + group + "/cgroup.controllers", controllers + "\n");
      File(root + group + "/cgroup.subtree_control", controllers + "\n");
      File(root + group + "/cgroup.procs");
    }
  }
  CgroupHost Host() {
    absl::StatusOr<CgroupHost> host = CgroupHost::Probe(dir_.path());
    EXPECT_TRUE(host.ok()) << host.status();
    return *std::move(host);
  }
  TestDir dir_;
};

TEST_F(CgroupTest, NothingMountedIsFailedPrecondition) {
  EXPECT_EQ(CgroupHost::Probe(dir_.path()).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(CgroupTest, PureV1IsKnownByItsHierarchiesAndLinksAreNotCountedTwice) {
  V1Host();
  const CgroupHost host = Host();
  EXPECT_EQ(host.layout(), CgroupLayout::kV1);
  EXPECT_EQ(host.v2_root(), "");
  std::vector<std::string> keys;
  for (const auto& [key, root] : host.v1_roots()) keys.push_back(key);
  EXPECT_THAT(keys, UnorderedElementsAre("cpu,cpuacct", "cpuset", "memory", "pids", "devices",
                                         "name=systemd"));
  EXPECT_TRUE(host.Has("cpu"));
  EXPECT_TRUE(host.Has("cpuacct"));
  EXPECT_FALSE(host.Has("hugetlb"));
}

TEST_F(CgroupTest, HybridHasBothTrees) {
  V1Host();
  V2Tree("unified", "hugetlb");
  const CgroupHost host = Host();
  EXPECT_EQ(host.layout(), CgroupLayout::kHybrid);
  EXPECT_EQ(host.v2_root(), dir_ / "unified");
  EXPECT_TRUE(host.Has("memory"));
  EXPECT_FALSE(host.Has("hugetlb")) << "the v2 tree is left without controllers";
}

TEST_F(CgroupTest, V2IsMountedAtTheRootItselfAndFiltersDevicesByProgram) {
  V2Tree("", "cpu cpuset memory pids");
  const CgroupHost host = Host();
  EXPECT_EQ(host.layout(), CgroupLayout::kV2);
  EXPECT_EQ(host.v2_root(), dir_.path());
  EXPECT_TRUE(host.Has("devices"));
  EXPECT_FALSE(host.Has("hugetlb"));
}

TEST_F(CgroupTest, PathsThatAreNotBelowTheRootAreRefused) {
  V1Host();
  const CgroupHost host = Host();
  for (const char* path : {"", "/", "//", "relative", "/a/../b", "/a/./b", "/.."}) {
    EXPECT_EQ(host.Create(path).status().code(), absl::StatusCode::kInvalidArgument) << path;
    EXPECT_EQ(host.Kill(path, Deadline::Infinite()).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(host.Remove(path, Deadline::Infinite()).code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(CgroupTest, CreateFillsAnEmptyV1CpusetFromItsParents) {
  V1Host();
  absl::StatusOr<std::vector<std::string>> made = Host().Create(kGroup);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(*made, IsEmpty());
  EXPECT_EQ(Text("cpuset/kubepods/cpuset.cpus"), "0-3");
  EXPECT_EQ(Text("cpuset/kubepods/pod1/cpuset.cpus"), "0-3");
}

TEST_F(CgroupTest, CreateReportsTheTopmostDirectoriesItMade) {
  V1Hierarchy("memory", {});
  V1Hierarchy("pids", {});
  absl::StatusOr<std::vector<std::string>> made = Host().Create("/kubepods/pod2/a");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(*made,
              UnorderedElementsAre(dir_ / "memory/kubepods/pod2", dir_ / "pids/kubepods/pod2"));
  EXPECT_EQ(access((dir_ / "pids/kubepods/pod2/a").c_str(), F_OK), 0);
}

TEST_F(CgroupTest, AFailedCreateRemovesWhatItMade) {
  V1Host();  // a new directory here has no cpuset.cpus: the fill fails
  V1Hierarchy("blkio", {});
  EXPECT_FALSE(Host().Create("/kubepods/pod2/a").ok());
  for (const char* name : {"blkio", "cpuset", "memory"}) {
    EXPECT_NE(access((dir_ / (std::string(name) + "/kubepods/pod2")).c_str(), F_OK), 0) << name;
  }
}

TEST_F(CgroupTest, CreateEnablesV2ControllersInEveryParent) {
  V2Tree("", "cpu");
  File("cgroup.controllers", "cpu memory\n");
  File("cgroup.subtree_control", "cpu\n");
  ASSERT_TRUE(Host().Create(kGroup).ok());
  EXPECT_EQ(Text("cgroup.subtree_control"), "+memory");  // a plain file: overwritten
  EXPECT_EQ(Text("kubepods/cgroup.subtree_control"), "+memory");
  EXPECT_EQ(Text("kubepods/pod1/cgroup.subtree_control"), "cpu\n") << "the leaf holds processes";
}

TEST_F(CgroupTest, V1LimitsGoToTheirFiles) {
  V1Host();
  CgroupLimits limits;
  limits.cpu_shares = 512;
  limits.cpu_period_us = 100000;
  limits.cpu_quota_us = 50000;
  limits.cpuset_cpus = "1";
  limits.memory_bytes = 1 << 20;
  limits.memory_swap_bytes = 2 << 20;
  limits.pids_max = -1;
  limits.hugepage_bytes["2MB"] = 0;  // no such controller: skipped
  limits.devices.push_back({false, 'a', {}, {}, "rwm"});
  limits.devices.push_back({true, 'c', 1, 3, "rw"});
  const absl::Status status = Host().Apply(kGroup, limits);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Text("cpu,cpuacct/kubepods/pod1/cpu.shares"), "512");
  EXPECT_EQ(Text("cpu,cpuacct/kubepods/pod1/cpu.cfs_period_us"), "100000");
  EXPECT_EQ(Text("cpu,cpuacct/kubepods/pod1/cpu.cfs_quota_us"), "50000");
  EXPECT_TRUE(absl::StartsWith(Text("cpuset/kubepods/pod1/cpuset.cpus"), "1"));
  EXPECT_EQ(Text("memory/kubepods/pod1/memory.limit_in_bytes"), "1048576");
  EXPECT_EQ(Text("memory/kubepods/pod1/memory.memsw.limit_in_bytes"), "2097152");
  EXPECT_EQ(Text("pids/kubepods/pod1/pids.max"), "max");
  EXPECT_EQ(Text("devices/kubepods/pod1/devices.deny"), "a");
  EXPECT_EQ(Text("devices/kubepods/pod1/devices.allow"), "c 1:3 rw");
}

TEST_F(CgroupTest, ALimitWhoseControllerIsMissingIsAnErrorWhenItMatters) {
  V1Hierarchy("cpu", {"cpu.shares"});
  const CgroupHost host = Host();
  CgroupLimits limits;
  limits.memory_bytes = 1;
  const absl::Status status = host.Apply(kGroup, limits);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("memory"));
  limits = {};
  limits.pids_max = 1;
  EXPECT_FALSE(host.Apply(kGroup, limits).ok());
  limits = {};
  limits.devices.emplace_back();
  EXPECT_FALSE(host.Apply(kGroup, limits).ok());
  limits = {};
  limits.unified["memory.high"] = "1";
  EXPECT_FALSE(host.Apply(kGroup, limits).ok());
}

TEST_F(CgroupTest, V2LimitsAreTranslated) {
  V2Tree("", "cpu cpuset memory pids hugetlb");
  for (const char* file : {"cpu.weight", "cpu.max", "cpuset.cpus", "memory.max", "memory.swap.max",
                           "pids.max", "hugetlb.2MB.max", "memory.high"}) {
    File(std::string("kubepods/pod1/") + file);
  }
  CgroupLimits limits;
  limits.cpu_shares = 1024;
  limits.cpu_period_us = 100000;
  limits.cpu_quota_us = -1;
  limits.cpuset_cpus = "0-1";
  limits.memory_bytes = 1000;
  limits.memory_swap_bytes = 1500;
  limits.pids_max = 7;
  limits.hugepage_bytes["2MB"] = 4096;
  limits.unified["memory.high"] = "900";
  const absl::Status status = Host().Apply(kGroup, limits);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Text("kubepods/pod1/cpu.weight"), "100");
  EXPECT_EQ(Text("kubepods/pod1/cpu.max"), "max 100000");
  EXPECT_EQ(Text("kubepods/pod1/cpuset.cpus"), "0-1");
  EXPECT_EQ(Text("kubepods/pod1/memory.max"), "1000");
  EXPECT_EQ(Text("kubepods/pod1/memory.swap.max"), "500");
  EXPECT_EQ(Text("kubepods/pod1/pids.max"), "7");
  EXPECT_EQ(Text("kubepods/pod1/hugetlb.2MB.max"), "4096");
  EXPECT_EQ(Text("kubepods/pod1/memory.high"), "900");
}

TEST_F(CgroupTest, SwapBelowMemoryIsInvalidOnV2) {
  V2Tree("", "memory");
  File("kubepods/pod1/memory.max");
  CgroupLimits limits;
  limits.memory_bytes = 1000;
  limits.memory_swap_bytes = 999;
  EXPECT_EQ(Host().Apply(kGroup, limits).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CgroupTest, AUnifiedNameCannotLeaveTheGroup) {
  V2Tree("", "memory");
  CgroupLimits limits;
  limits.unified["../cgroup.procs"] = "1";
  EXPECT_EQ(Host().Apply(kGroup, limits).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CgroupTest, AnErrorNamesFileAndValue) {
  V2Tree("", "pids");
  CgroupLimits limits;
  limits.pids_max = 12;  // no pids.max in this tree
  const absl::Status status = Host().Apply(kGroup, limits);
  EXPECT_THAT(std::string(status.message()), HasSubstr("kubepods/pod1/pids.max"));
}

TEST_F(CgroupTest, PidsAreThoseOfTheGroupAndBelowInAnyHierarchyOnce) {
  V1Host();
  File("memory/kubepods/pod1/cgroup.procs", "12\n7\n");
  File("pids/kubepods/pod1/cgroup.procs", "7\n0\n");
  File("pids/kubepods/pod1/below/cgroup.procs", "99\n");
  File("pids/kubepods/cgroup.procs", "1\n");
  EXPECT_THAT(*Host().Pids(kGroup), ElementsAre(7, 12, 99));
  EXPECT_THAT(*Host().Pids("/absent"), IsEmpty());
}

TEST_F(CgroupTest, OomKillsAreReadWhereTheLayoutCountsThem) {
  V1Host();
  File("memory/kubepods/pod1/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
  EXPECT_EQ(*Host().OomKills(kGroup), 3u);
}

TEST_F(CgroupTest, OomKillsOnV2) {
  V2Tree("", "memory");
  File("kubepods/pod1/memory.events", "low 0\noom 9\noom_kill 4\noom_group_kill 1\n");
  EXPECT_EQ(*Host().OomKills(kGroup), 4u);
}

TEST_F(CgroupTest, JoiningNeedsTheV2DirectoryAndEveryV1TasksFile) {
  V1Host();
  V2Tree("unified", "");
  absl::StatusOr<CgroupJoin> join = Host().OpenJoin(kGroup);
  ASSERT_TRUE(join.ok()) << join.status();
  EXPECT_TRUE(join->into.valid());
  EXPECT_EQ(join->tasks.size(), 6u);
  EXPECT_FALSE(Host().OpenJoin("/absent").ok());
}

TEST(CgroupWeightTest, SharesKeepTheirMeaning) {
  using cgroup_internal::CpuWeight;
  EXPECT_EQ(CpuWeight(2), 1u);
  EXPECT_EQ(CpuWeight(1024), 100u);
  EXPECT_EQ(CpuWeight(262144), 10000u);
  EXPECT_EQ(CpuWeight(1u << 30), 10000u);
  EXPECT_EQ(CpuWeight(0), 1u);
  for (uint64_t shares = 3; shares < 262144; shares += 97) {
    EXPECT_LE(CpuWeight(shares - 1), CpuWeight(shares));
  }
}

}  // namespace
}  // namespace berth::os
