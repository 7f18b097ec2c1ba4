#include "base/os/cgroup_stats.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/os/file.h"
#include "base/os/test_dir.h"

namespace berth::os {
namespace {

using ::testing::Optional;

class CgroupStatsTest : public ::testing::Test {
 protected:
  void File(const std::string& path, const std::string& text = "") { dir_.Write(path, text); }
  void V1(const std::string& name) {
    for (const char* file : {"/tasks", "/cgroup.procs"}) File(name + file);
  }
  void V1Host() {
    for (const char* name : {"cpu", "cpuacct", "memory", "pids"}) V1(name);
    File("cpuacct/pod/cpuacct.usage", "123456789\n");
    File("memory/pod/memory.usage_in_bytes", "10000\n");
    File("memory/pod/memory.limit_in_bytes", "20000\n");
    File("memory/pod/memory.memsw.limit_in_bytes", "25000\n");
    File("memory/pod/memory.stat",
         "inactive_file 1\nrss 2\npgfault 3\ntotal_rss 6000\ntotal_swap 700\ntotal_pgfault 42\n"
         "total_pgmajfault 7\ntotal_inactive_file 3000\n");
    File("pids/pod/pids.current", "5\n");
  }
  void Pressures(const std::string& dir) {
    File(dir + "/cpu.pressure",
         "some avg10=50.99 avg60=35.56 avg300=29.62 total=312745552\n"
         "full avg10=0.00 avg60=0.00 avg300=0.50 total=9\n");
    File(dir + "/memory.pressure", "some avg10=1.00 avg60=0.00 avg300=0.00 total=1\n");
    File(dir + "/io.pressure", "some avg10=0.00 avg60=2.00 avg300=0.00 total=2\n");
  }
  CgroupStats Read() {
    host_.emplace(CgroupHost::Probe(dir_.path()).value());
    absl::StatusOr<CgroupMeter> meter = CgroupMeter::Open(*host_, "/pod");
    EXPECT_TRUE(meter.ok()) << meter.status();
    absl::StatusOr<CgroupStats> stats = meter->Read();
    EXPECT_TRUE(stats.ok()) << stats.status();
    return *stats;
  }
  TestDir dir_;
  std::optional<CgroupHost> host_;
};

TEST_F(CgroupStatsTest, V1NumbersAreTheHierarchicalOnes) {
  V1Host();
  const CgroupStats stats = Read();
  EXPECT_THAT(stats.cpu_usage_ns, Optional(123456789u));
  ASSERT_TRUE(stats.memory.has_value());
  EXPECT_EQ(stats.memory->usage, 10000u);
  EXPECT_EQ(stats.memory->working_set, 7000u);
  EXPECT_EQ(stats.memory->rss, 6000u);
  EXPECT_EQ(stats.memory->faults, 42u);
  EXPECT_EQ(stats.memory->major_faults, 7u);
  EXPECT_THAT(stats.memory->limit, Optional(20000u));
  EXPECT_THAT(stats.memory->swap_usage, Optional(700u));
  EXPECT_THAT(stats.memory->swap_limit, Optional(5000u));
  EXPECT_THAT(stats.pids, Optional(5u));
  EXPECT_FALSE(stats.cpu_pressure.has_value());
}

TEST_F(CgroupStatsTest, NoLimitIsNoLimit) {
  V1Host();
  File("memory/pod/memory.limit_in_bytes", "9223372036854771712\n");
  File("memory/pod/memory.memsw.limit_in_bytes", "9223372036854771712\n");
  const CgroupStats stats = Read();
  EXPECT_FALSE(stats.memory->limit.has_value());
  EXPECT_FALSE(stats.memory->swap_limit.has_value());
}

TEST_F(CgroupStatsTest, AHybridHostHasPressureInItsV2Tree) {
  V1Host();
  File("unified/cgroup.controllers", "hugetlb\n");
  Pressures("unified/pod");
  const CgroupStats stats = Read();
  EXPECT_THAT(stats.cpu_usage_ns, Optional(123456789u));
  ASSERT_TRUE(stats.cpu_pressure.has_value());
  EXPECT_DOUBLE_EQ(stats.cpu_pressure->some.avg10, 50.99);
  EXPECT_EQ(stats.cpu_pressure->some.total_us, 312745552u);
  EXPECT_DOUBLE_EQ(stats.cpu_pressure->full.avg300, 0.5);
  EXPECT_DOUBLE_EQ(stats.memory_pressure->some.avg10, 1);
  EXPECT_DOUBLE_EQ(stats.io_pressure->some.avg60, 2);
}

TEST_F(CgroupStatsTest, V2NumbersAreTranslated) {
  File("cgroup.controllers", "cpu memory pids\n");
  File("pod/cpu.stat", "usage_usec 5000\nuser_usec 4000\n");
  File("pod/memory.current", "10000\n");
  File("pod/memory.max", "max\n");
  File("pod/memory.swap.current", "10\n");
  File("pod/memory.swap.max", "100\n");
  File("pod/memory.stat", "anon 6000\ninactive_file 11000\npgfault 42\npgmajfault 7\n");
  File("pod/pids.current", "3\n");
  Pressures("pod");
  const CgroupStats stats = Read();
  EXPECT_THAT(stats.cpu_usage_ns, Optional(5000000u));
  EXPECT_EQ(stats.memory->working_set, 0u) << "never below zero";
  EXPECT_EQ(stats.memory->rss, 6000u);
  EXPECT_FALSE(stats.memory->limit.has_value());
  EXPECT_THAT(stats.memory->swap_usage, Optional(10u));
  EXPECT_THAT(stats.memory->swap_limit, Optional(100u));
  EXPECT_THAT(stats.pids, Optional(3u));
  EXPECT_TRUE(stats.io_pressure.has_value());
}

TEST_F(CgroupStatsTest, AnAbsentGroupIsFailedPrecondition) {
  V1Host();
  const CgroupHost host = CgroupHost::Probe(dir_.path()).value();
  EXPECT_EQ(CgroupMeter::Open(host, "/absent").status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(CgroupMeter::Open(host, "/..").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace berth::os
