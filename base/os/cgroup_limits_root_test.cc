// Every limit that this kernel has, in a group of this process's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/cgroup.h"
#include "base/os/cgroup_internal.h"

namespace berth::os {
namespace {

using ::testing::HasSubstr;

Deadline Soon() { return Deadline::After(absl::Seconds(60)); }

class CgroupLimitsRootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    absl::StatusOr<CgroupHost> host = CgroupHost::Probe();
    if (!host.ok()) GTEST_SKIP() << host.status();
    host_.emplace(*std::move(host));
    ASSERT_TRUE(host_->Create(group_).ok());
  }
  void TearDown() override {
    if (host_.has_value()) EXPECT_TRUE(host_->Remove(group_, Soon()).ok());
  }
  std::string Text(const std::string& controller, const std::string& file) {
    const std::string dir = host_->ControllerDir(controller, group_);
    return cgroup_internal::Read(dir, file).value_or("none");
  }
  bool HasFile(const std::string& controller, const std::string& file) {
    const std::string dir = host_->ControllerDir(controller, group_);
    return !dir.empty() && cgroup_internal::Exists(dir, file);
  }
  const std::string group_ = absl::StrCat("/berth-test-", getpid(), "-limits");
  std::optional<CgroupHost> host_;
};

// The whole disk that holds the working directory; throttles are of disks.
std::optional<BlockIoLimits::Rate> Disk() {
  for (const char* name : {"vda", "sda", "nvme0n1", "xvda"}) {
    struct stat st;
    if (stat(absl::StrCat("/dev/", name).c_str(), &st) == 0 && S_ISBLK(st.st_mode)) {
      return BlockIoLimits::Rate{major(st.st_rdev), minor(st.st_rdev), 0};
    }
  }
  return std::nullopt;
}

TEST_F(CgroupLimitsRootTest, V1TakesWhatItsFilesTake) {
  if (host_->layout() == CgroupLayout::kV2) GTEST_SKIP() << "no v1 hierarchies here";
  CgroupLimits limits;
  limits.cpu_quota_us = 50000;
  limits.cpu_period_us = 100000;
  if (HasFile("cpu", "cpu.cfs_burst_us")) limits.cpu_burst_us = 20000;
  limits.memory_reservation_bytes = 8 << 20;
  limits.memory_swappiness = 10;
  limits.memory_oom_kill_disable = true;
  limits.memory_use_hierarchy = true;
  const absl::Status status = host_->Apply(group_, limits);
  ASSERT_TRUE(status.ok()) << status;
  if (limits.cpu_burst_us.has_value()) EXPECT_EQ(Text("cpu", "cpu.cfs_burst_us"), "20000");
  EXPECT_EQ(Text("memory", "memory.soft_limit_in_bytes"), absl::StrCat(8 << 20));
  EXPECT_EQ(Text("memory", "memory.swappiness"), "10");
  EXPECT_THAT(Text("memory", "memory.oom_control"), HasSubstr("oom_kill_disable 1"));
}

TEST_F(CgroupLimitsRootTest, MemoryMovesUpAndDownPastItsSwapLimit) {
  if (host_->layout() == CgroupLayout::kV2) GTEST_SKIP() << "no v1 hierarchies here";
  for (const int64_t mib : {64, 32, 128, -1, 16}) {
    CgroupLimits limits;
    limits.memory_bytes = mib < 0 ? -1 : mib << 20;
    limits.memory_swap_bytes = limits.memory_bytes;
    const absl::Status status = host_->Apply(group_, limits);
    ASSERT_TRUE(status.ok()) << mib << ": " << status;
    if (mib > 0) {
      EXPECT_EQ(Text("memory", "memory.limit_in_bytes"), absl::StrCat(mib << 20));
    }
  }
}

TEST_F(CgroupLimitsRootTest, AnIdleGroupCanBecomeABusyOneAgain) {
  if (!HasFile("cpu", "cpu.idle")) GTEST_SKIP() << "no cpu.idle here (Linux 5.15)";
  const std::string file = host_->layout() == CgroupLayout::kV2 ? "cpu.weight" : "cpu.shares";
  CgroupLimits limits;
  limits.cpu_shares = 2048;
  limits.cpu_idle = 1;
  ASSERT_TRUE(host_->Apply(group_, limits).ok());
  EXPECT_EQ(Text("cpu", "cpu.idle"), "1");
  limits.cpu_idle = 0;
  const absl::Status status = host_->Apply(group_, limits);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Text("cpu", "cpu.idle"), "0");
  EXPECT_NE(Text("cpu", file), "1");
}

TEST_F(CgroupLimitsRootTest, RatesOfADiskAreSetAndCapturedAndGivenBack) {
  std::optional<BlockIoLimits::Rate> disk = Disk();
  const bool v2 = host_->layout() == CgroupLayout::kV2;
  const std::string controller = v2 ? "io" : "blkio";
  if (!disk.has_value() || host_->ControllerDir(controller, group_).empty()) {
    GTEST_SKIP() << "no disk or no blkio here";
  }
  const std::string file = v2 ? "io.max" : "blkio.throttle.read_bps_device";
  disk->rate = 1 << 20;
  CgroupLimits limits;
  limits.block_io.read_bps = {*disk};
  limits.block_io.write_iops = {*disk};
  const absl::StatusOr<std::vector<CgroupFile>> before = host_->Capture(group_, limits);
  ASSERT_TRUE(before.ok()) << before.status();
  const absl::Status status = host_->Change(group_, limits);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(Text(controller, file),
              ::testing::StartsWith(
                  absl::StrCat(disk->major, ":", disk->minor, v2 ? " rbps=" : " ", 1 << 20)));
  ASSERT_TRUE(host_->Restore(group_, *before).ok());
  EXPECT_EQ(Text(controller, file), "");
}

TEST_F(CgroupLimitsRootTest, ARateOfWhatIsNoDiskIsInvalid) {
  if (!host_->Has("blkio") && !host_->Has("io")) GTEST_SKIP() << "no blkio here";
  CgroupLimits limits;
  limits.block_io.read_bps = {{4000, 77, 1 << 20}};  // no driver has it, nor loads one
  const absl::Status status = host_->Change(group_, limits);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("linux.resources.blockIO.throttle"));
}

TEST_F(CgroupLimitsRootTest, AWeightIsBfqs) {
  if (!HasFile("blkio", "blkio.bfq.weight")) GTEST_SKIP() << "no BFQ here";
  CgroupLimits limits;
  limits.block_io.weight = 300;
  ASSERT_TRUE(host_->Apply(group_, limits).ok());
  EXPECT_EQ(Text("blkio", "blkio.bfq.weight"), "300");
}

TEST_F(CgroupLimitsRootTest, TheV1DeviceListIsWhatWasAsked) {
  if (host_->layout() == CgroupLayout::kV2) GTEST_SKIP() << "no v1 hierarchies here";
  CgroupLimits limits;
  limits.devices = {{false, 'a', {}, {}, "rwm"},
                    {true, 'a', 1, 3, "rw"},
                    {true, 'c', 5, {}, "rwm"},
                    {false, 'c', 5, {}, "m"}};
  const absl::Status status = host_->Apply(group_, limits);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Text("devices", "devices.list"), "b 1:3 rw\nc 1:3 rw\nc 5:* rw");
}

}  // namespace
}  // namespace berth::os
