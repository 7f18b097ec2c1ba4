#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/os/cgroup.h"
#include "base/os/cgroup_internal.h"
#include "base/os/file.h"
#include "base/os/test_dir.h"

namespace berth::os {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Trees of plain files, one group "/pod" in each. A file keeps the longest of what was written.
class CgroupLimitsTest : public ::testing::Test {
 protected:
  void File(const std::string& path, const std::string& text = "") { dir_.Write(path, text); }
  std::string Text(const std::string& path) { return ReadFile(dir_ / path, 4096).value_or("none"); }
  CgroupHost V1(const std::vector<std::string>& controllers,
                const std::vector<std::string>& files) {
    for (const std::string& name : controllers) {
      for (const char* file : {"/tasks", "/cgroup.procs"}) File(name + file);
    }
    for (const std::string& file : files) File(file);
    return CgroupHost::Probe(dir_.path()).value();
  }
  CgroupHost V2(const std::string& controllers, const std::vector<std::string>& files) {
    File("cgroup.controllers", controllers + "\n");
    File("pod/cgroup.procs");
    for (const std::string& file : files) File("pod/" + file);
    return CgroupHost::Probe(dir_.path()).value();
  }
  TestDir dir_;
};

CgroupLimits WithIo() {
  CgroupLimits limits;
  limits.block_io.weight = 500;
  limits.block_io.device_weights = {{8, 16, 300, 0}};
  limits.block_io.read_bps = {{8, 0, 600}};
  limits.block_io.write_bps = {{8, 0, 601}};
  limits.block_io.read_iops = {{8, 0, 602}};
  limits.block_io.write_iops = {{8, 0, 0}};
  return limits;
}

TEST_F(CgroupLimitsTest, EveryPropertyHasItsFileOnV1) {
  const CgroupHost host =
      V1({"cpu", "cpuset", "memory", "pids", "blkio", "rdma", "net_cls,net_prio"},
         {"cpu/pod/cpu.cfs_burst_us", "cpu/pod/cpu.idle", "cpu/pod/cpu.rt_period_us",
          "cpu/pod/cpu.rt_runtime_us", "memory/pod/memory.soft_limit_in_bytes",
          "memory/pod/memory.kmem.tcp.limit_in_bytes", "memory/pod/memory.swappiness",
          "memory/pod/memory.oom_control", "blkio/pod/blkio.bfq.weight",
          "blkio/pod/blkio.bfq.weight_device", "blkio/pod/blkio.throttle.read_bps_device",
          "blkio/pod/blkio.throttle.write_bps_device", "blkio/pod/blkio.throttle.read_iops_device",
          "blkio/pod/blkio.throttle.write_iops_device", "rdma/pod/rdma.max",
          "net_cls,net_prio/pod/net_cls.classid", "net_cls,net_prio/pod/net_prio.ifpriomap"});
  CgroupLimits limits = WithIo();
  limits.cpu_shares = 7;  // an idle group takes none, and this tree has no such file
  limits.cpu_idle = 1;
  limits.cpu_burst_us = 1000;
  limits.cpu_rt_runtime_us = 950;
  limits.cpu_rt_period_us = 1000;
  limits.memory_reservation_bytes = 4096;
  limits.memory_kernel_tcp_bytes = 8192;
  limits.memory_swappiness = 0;
  limits.memory_oom_kill_disable = true;
  limits.memory_use_hierarchy = true;
  limits.rdma["mlx5_1"] = {3, 10000};
  limits.net_class_id = 0x100001;
  limits.net_priorities["eth0"] = 500;
  const absl::Status status = host.Apply("/pod", limits);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Text("cpu/pod/cpu.idle"), "1");
  EXPECT_EQ(Text("cpu/pod/cpu.cfs_burst_us"), "1000");
  EXPECT_EQ(Text("cpu/pod/cpu.rt_runtime_us"), "950");
  EXPECT_EQ(Text("cpu/pod/cpu.rt_period_us"), "1000");
  EXPECT_EQ(Text("memory/pod/memory.soft_limit_in_bytes"), "4096");
  EXPECT_EQ(Text("memory/pod/memory.kmem.tcp.limit_in_bytes"), "8192");
  EXPECT_EQ(Text("memory/pod/memory.swappiness"), "0");
  EXPECT_EQ(Text("memory/pod/memory.oom_control"), "1");
  EXPECT_EQ(Text("blkio/pod/blkio.bfq.weight"), "500");
  EXPECT_EQ(Text("blkio/pod/blkio.bfq.weight_device"), "8:16 300");
  EXPECT_EQ(Text("blkio/pod/blkio.throttle.read_bps_device"), "8:0 600");
  EXPECT_EQ(Text("blkio/pod/blkio.throttle.write_bps_device"), "8:0 601");
  EXPECT_EQ(Text("blkio/pod/blkio.throttle.read_iops_device"), "8:0 602");
  EXPECT_EQ(Text("blkio/pod/blkio.throttle.write_iops_device"), "8:0 0");
  EXPECT_EQ(Text("rdma/pod/rdma.max"), "mlx5_1 hca_handle=3 hca_object=10000");
  EXPECT_EQ(Text("net_cls,net_prio/pod/net_cls.classid"), "1048577");
  EXPECT_EQ(Text("net_cls,net_prio/pod/net_prio.ifpriomap"), "eth0 500");
}

TEST_F(CgroupLimitsTest, EveryPropertyThatV2HasIsTranslated) {
  const CgroupHost host =
      V2("cpu cpuset io memory pids rdma hugetlb",
         {"cpu.weight", "cpu.idle", "cpu.max", "cpu.max.burst", "memory.low", "io.weight", "io.max",
          "rdma.max", "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max", "cgroup.max.depth"});
  CgroupLimits limits = WithIo();
  limits.block_io.device_weights.clear();
  limits.cpu_idle = 0;
  limits.cpu_shares = 1024;
  limits.cpu_burst_us = 1000;
  limits.memory_reservation_bytes = 4096;
  limits.memory_oom_kill_disable = false;
  limits.rdma["rxe3"] = {{}, 7};
  limits.hugepage_bytes["2MB"] = 0;
  limits.unified["cgroup.max.depth"] = "3";
  const absl::Status status = host.Apply("/pod", limits);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Text("pod/cpu.idle"), "0");
  EXPECT_EQ(Text("pod/cpu.weight"), "100");
  EXPECT_EQ(Text("pod/cpu.max.burst"), "1000");
  EXPECT_EQ(Text("pod/memory.low"), "4096");
  EXPECT_EQ(Text("pod/io.weight"), "default 4950");
  EXPECT_EQ(Text("pod/io.max"), "8:0 rbps=600 wbps=601 riops=602 wiops=max");
  EXPECT_EQ(Text("pod/rdma.max"), "rxe3 hca_object=7");
  EXPECT_EQ(Text("pod/hugetlb.2MB.max"), "0");
  EXPECT_EQ(Text("pod/hugetlb.2MB.rsvd.max"), "0");
  EXPECT_EQ(Text("pod/cgroup.max.depth"), "3");
}

TEST_F(CgroupLimitsTest, BfqTakesWeightsAsTheyAreOnV2) {
  const CgroupHost host = V2("io", {"io.bfq.weight", "io.weight"});
  CgroupLimits limits;
  limits.block_io.weight = 500;
  ASSERT_TRUE(host.Apply("/pod", limits).ok());
  EXPECT_EQ(Text("pod/io.bfq.weight"), "default 500");
  EXPECT_EQ(Text("pod/io.weight"), "");
}

TEST_F(CgroupLimitsTest, ADeviceHasAWeightOfItsOwnOnV2) {
  const CgroupHost host = V2("io", {"io.weight"});
  CgroupLimits limits;
  limits.block_io.device_weights = {{8, 16, 300, 0}};
  ASSERT_TRUE(host.Apply("/pod", limits).ok());
  EXPECT_EQ(Text("pod/io.weight"), "8:16 2930");
}

TEST_F(CgroupLimitsTest, SwapAloneIsMeasuredAgainstTheMemoryLimitOfTheGroup) {
  const CgroupHost host = V2("memory", {"memory.swap.max"});
  File("pod/memory.max", "1000\n");
  CgroupLimits limits;
  limits.memory_swap_bytes = 1500;
  ASSERT_TRUE(host.Apply("/pod", limits).ok());
  EXPECT_EQ(Text("pod/memory.swap.max"), "500");
  File("pod/memory.max", "max\n");
  EXPECT_EQ(host.Apply("/pod", limits).code(), absl::StatusCode::kInvalidArgument);
}

std::string Refusal(const CgroupHost& host, const std::function<void(CgroupLimits*)>& change) {
  CgroupLimits limits;
  change(&limits);
  const absl::Status status = host.Apply("/pod", limits);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  return std::string(status.message());
}

TEST_F(CgroupLimitsTest, WhatV2HasNotIsRefusedByItsPath) {
  const CgroupHost host = V2("cpu cpuset io memory pids", {});
  using L = CgroupLimits;
  const auto refused = [&](const std::function<void(L*)>& change) { return Refusal(host, change); };
  const std::string base = "linux.resources.";
  EXPECT_THAT(refused([](L* l) { l->cpu_rt_runtime_us = 1; }),
              StartsWith(base + "cpu.realtimeRuntime: "));
  EXPECT_THAT(refused([](L* l) { l->memory_swappiness = 60; }),
              StartsWith(base + "memory.swappiness: "));
  EXPECT_THAT(refused([](L* l) { l->memory_kernel_tcp_bytes = 1; }),
              StartsWith(base + "memory.kernelTCP: "));
  EXPECT_THAT(refused([](L* l) { l->memory_oom_kill_disable = true; }),
              StartsWith(base + "memory.disableOOMKiller: "));
  EXPECT_THAT(refused([](L* l) { l->memory_use_hierarchy = false; }),
              StartsWith(base + "memory.useHierarchy: "));
  EXPECT_THAT(refused([](L* l) { l->block_io.leaf_weight = 1; }),
              StartsWith(base + "blockIO.leafWeight: "));
  EXPECT_THAT(refused([](L* l) { l->block_io.weight = 10; }),
              StartsWith(base + "blockIO.weight: "));
  EXPECT_THAT(refused([](L* l) { l->net_class_id = 1; }), StartsWith(base + "network.classID: "));
  EXPECT_THAT(refused([](L* l) { l->net_priorities["lo"] = 1; }),
              StartsWith(base + "network.priorities: "));
  EXPECT_THAT(refused([](L* l) { l->rdma["rxe3"].hca_objects = 1; }),
              StartsWith(base + "rdma[\"rxe3\"]: this host has no cgroup controller rdma"));
}

TEST_F(CgroupLimitsTest, WhatAHostHasNoControllerForIsRefusedByItsPath) {
  const CgroupHost host = V1({"freezer"}, {});
  using L = CgroupLimits;
  const auto refused = [&](const std::function<void(L*)>& change) { return Refusal(host, change); };
  const std::string base = "linux.resources.";
  EXPECT_THAT(refused([](L* l) { l->memory_bytes = 1; }), StartsWith(base + "memory.limit: "));
  EXPECT_THAT(refused([](L* l) { l->pids_max = 1; }), StartsWith(base + "pids.limit: "));
  EXPECT_THAT(refused([](L* l) { l->cpu_quota_us = 1; }), StartsWith(base + "cpu.quota: "));
  EXPECT_THAT(refused([](L* l) { l->cpuset_cpus = "0"; }), StartsWith(base + "cpu.cpus: "));
  EXPECT_THAT(refused([](L* l) { l->net_class_id = 1; }),
              StartsWith(base + "network.classID: this host has no cgroup controller net_cls"));
  EXPECT_THAT(refused([](L* l) {
                l->block_io.read_bps = {{8, 0, 1}};
              }),
              StartsWith(base + "blockIO.throttleReadBpsDevice: "));
  EXPECT_THAT(refused([](L* l) { l->devices.emplace_back(); }), StartsWith(base + "devices: "));
  EXPECT_THAT(refused([](L* l) { l->unified["memory.high"] = "1"; }),
              StartsWith(base + "unified[\"memory.high\"]: "));
  CgroupLimits harmless;
  harmless.cpu_shares = 2;
  harmless.cpu_period_us = 100000;
  harmless.cpu_quota_us = -1;
  harmless.hugepage_bytes["2MB"] = 0;
  EXPECT_TRUE(host.Apply("/pod", harmless).ok());
}

TEST_F(CgroupLimitsTest, UnifiedMaySayTheSameAsAnotherPropertyButNotAnother) {
  const CgroupHost host = V2("memory", {"memory.max"});
  CgroupLimits limits;
  limits.memory_bytes = 4096;
  limits.unified["memory.max"] = "4096";
  EXPECT_TRUE(host.Apply("/pod", limits).ok());
  limits.unified["memory.max"] = "8192";
  const absl::Status status = host.Apply("/pod", limits);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("contradicts linux.resources.memory.limit"));
}

TEST_F(CgroupLimitsTest, UnifiedMovesAndKillsNobody) {
  const CgroupHost host = V2("memory", {"cgroup.kill", "cgroup.freeze", "cgroup.threads"});
  for (const char* file : {"cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze"}) {
    CgroupLimits limits;
    limits.unified[file] = "1";
    EXPECT_EQ(host.Apply("/pod", limits).code(), absl::StatusCode::kInvalidArgument) << file;
    EXPECT_EQ(Text(absl::StrCat("pod/", file)), "") << file;
  }
}

}  // namespace
}  // namespace berth::os
