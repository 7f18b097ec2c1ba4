#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/os/cgroup.h"
#include "base/os/file.h"
#include "base/os/test_dir.h"

namespace berth::os {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kGroup[] = "/pod";

// Trees of plain files. The v1 one is a hybrid host's: controllers in v1, the v2 tree beside them.
class CgroupUpdateTest : public ::testing::Test {
 protected:
  void File(const std::string& path, const std::string& text = "") { dir_.Write(path, text); }
  std::string Text(const std::string& path) { return ReadFile(dir_ / path, 4096).value_or("none"); }
  void HybridHost() {
    for (const char* name : {"cpu", "cpuset", "memory", "systemd"}) {
      for (const char* file : {"/tasks", "/cgroup.procs", "/pod/tasks", "/pod/cgroup.procs"}) {
        File(std::string(name) + file);
      }
    }
    File("unified/cgroup.controllers", "hugetlb\n");
    File("unified/pod/cgroup.procs");
    File("cpu/pod/cpu.shares", "1024");
    File("cpu/pod/cpu.cfs_period_us", "100000");
    File("cpu/pod/cpu.cfs_quota_us", "-1");
    File("cpuset/pod/cpuset.cpus", "0-1");
    File("memory/pod/memory.limit_in_bytes", "4000");
    File("memory/pod/memory.memsw.limit_in_bytes", "4000");
    File("memory/pod/memory.usage_in_bytes", "3000");
    File("memory/pod/memory.stat", "total_inactive_file 500\ntotal_active_file 500\n");
  }
  void V2Host() {
    File("cgroup.controllers", "cpu cpuset memory pids\n");
    File("pod/cgroup.procs");
    File("pod/cpu.weight", "100");
    File("pod/cpu.max", "max 100000");
    File("pod/cpuset.cpus", "\n");
    File("pod/memory.max", "max");
    File("pod/memory.swap.max", "0");
    File("pod/memory.high", "max");
    File("pod/memory.current", "3000");
    File("pod/memory.stat", "inactive_file 500\nactive_file 500\n");
  }
  CgroupHost Host() { return CgroupHost::Probe(dir_.path()).value(); }
  static CgroupLimits Everything() {
    CgroupLimits limits;
    limits.cpu_shares = 512;
    limits.cpu_period_us = 50000;
    limits.cpu_quota_us = 2500;
    limits.cpuset_cpus = "0  ";  // plain files keep the longest of what was written
    limits.memory_bytes = 8000;
    limits.memory_swap_bytes = 9000;
    return limits;
  }
  TestDir dir_;
};

TEST_F(CgroupUpdateTest, WhatIsCapturedComesBackOnV1) {
  HybridHost();
  const absl::StatusOr<std::vector<CgroupFile>> before = Host().Capture(kGroup, Everything());
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ(before->size(), 6u);
  ASSERT_TRUE(Host().Change(kGroup, Everything()).ok());
  EXPECT_EQ(Text("memory/pod/memory.limit_in_bytes"), "8000");
  const absl::Status restored = Host().Restore(kGroup, *before);
  ASSERT_TRUE(restored.ok()) << restored;
  EXPECT_EQ(Text("memory/pod/memory.limit_in_bytes"), "4000");
  EXPECT_EQ(Text("memory/pod/memory.memsw.limit_in_bytes"), "4000");
  EXPECT_EQ(Text("cpuset/pod/cpuset.cpus"), "0-1");
  EXPECT_EQ(Text("cpu/pod/cpu.shares"), "1024");
}

TEST_F(CgroupUpdateTest, WhatIsCapturedComesBackOnV2) {
  V2Host();
  CgroupLimits limits = Everything();
  limits.unified["memory.high"] = "700";
  const absl::StatusOr<std::vector<CgroupFile>> before = Host().Capture(kGroup, limits);
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ(before->size(), 6u);
  ASSERT_TRUE(Host().Change(kGroup, limits).ok());
  EXPECT_EQ(Text("pod/memory.high"), "700");
  ASSERT_TRUE(Host().Restore(kGroup, *before).ok());
  EXPECT_EQ(Text("pod/memory.high"), "max");
  EXPECT_EQ(Text("pod/memory.max").substr(0, 3), "max");
  EXPECT_EQ(Text("pod/cpu.max"), "max 100000");
}

TEST_F(CgroupUpdateTest, AFileThatTheKernelLacksIsInvalidBeforeAnythingIsWritten) {
  V2Host();
  CgroupLimits limits = Everything();
  limits.unified["memory.oom.group"] = "1";
  for (const absl::Status& status :
       {Host().Capture(kGroup, limits).status(), Host().Change(kGroup, limits)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("unified[\"memory.oom.group\"]"));
  }
  EXPECT_EQ(Text("pod/memory.max"), "max");
}

TEST_F(CgroupUpdateTest, OfFilesOfManyLinesOnlyTheOnesThatChangeAreCaptured) {
  V2Host();
  File("cgroup.controllers", "cpu cpuset io memory pids\n");
  File("pod/io.bfq.weight", "default 100\n8:0 50\n");
  File("pod/io.max", "8:0 rbps=9 wbps=max riops=max wiops=max\n");
  CgroupLimits limits;
  limits.block_io.weight = 200;
  limits.block_io.device_weights = {{8, 0, 60, 0}, {8, 16, 70, 0}};
  limits.block_io.read_bps = {{8, 0, 1}, {8, 16, 2}};
  const absl::StatusOr<std::vector<CgroupFile>> before = Host().Capture(kGroup, limits);
  ASSERT_TRUE(before.ok()) << before.status();
  std::vector<std::string> values;
  for (const CgroupFile& file : *before) values.push_back(file.value);
  EXPECT_THAT(values, ::testing::ElementsAre("default 100", "8:0 50", "8:16 default",
                                             "8:0 rbps=9 wbps=max riops=max wiops=max",
                                             "8:16 rbps=max wbps=max riops=max wiops=max"));
}

TEST_F(CgroupUpdateTest, OfTheOomControlOnlyItsSwitchIsCaptured) {
  HybridHost();
  File("memory/pod/memory.oom_control", "oom_kill_disable 1\nunder_oom 0\noom_kill 3\n");
  CgroupLimits limits;
  limits.memory_oom_kill_disable = false;
  const absl::StatusOr<std::vector<CgroupFile>> before = Host().Capture(kGroup, limits);
  ASSERT_TRUE(before.ok()) << before.status();
  ASSERT_EQ(before->size(), 1u);
  EXPECT_EQ(before->front().value, "1");
}

TEST_F(CgroupUpdateTest, OnlyWhatIsAskedForIsCaptured) {
  HybridHost();
  EXPECT_THAT(*Host().Capture(kGroup, CgroupLimits()), IsEmpty());
  CgroupLimits limits;
  limits.cpu_shares = 2;
  EXPECT_EQ(Host().Capture(kGroup, limits)->size(), 1u);
  EXPECT_FALSE(Host().Capture("/absent", limits).ok());
}

TEST_F(CgroupUpdateTest, AMemoryLimitBelowWhatIsInUseIsRefusedWithTheNumber) {
  HybridHost();
  CgroupLimits limits;
  limits.memory_bytes = 1999;  // file pages can go, the rest can not
  const absl::Status refused = Host().Change(kGroup, limits);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("2000 bytes are in use"));
  EXPECT_EQ(Text("memory/pod/memory.limit_in_bytes"), "4000");
  limits.memory_bytes = 2000;
  EXPECT_TRUE(Host().Change(kGroup, limits).ok());
}

TEST_F(CgroupUpdateTest, OnV2BusyFilePagesCountAsInUseBecauseTheKernelWouldKill) {
  V2Host();
  CgroupLimits limits;
  limits.memory_bytes = 2499;
  EXPECT_THAT(std::string(Host().Change(kGroup, limits).message()),
              HasSubstr("2500 bytes are in use"));
  limits.memory_bytes = 2500;
  EXPECT_TRUE(Host().Change(kGroup, limits).ok());
}

TEST_F(CgroupUpdateTest, RestoreWritesOnlyFilesOfItsGroup) {
  HybridHost();
  for (const char* path : {"/etc/passwd", "memory.limit_in_bytes", ""}) {
    EXPECT_EQ(Host().Restore(kGroup, {{path, "1"}}).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(Host().Restore(kGroup, {{dir_ / "memory/other/memory.limit_in_bytes", "1"}}).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace berth::os
