// Meters and changes of limits on the real kernel, in groups "/berth-test-<pid>-stats".
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/os/cgroup.h"
#include "base/os/cgroup_internal.h"
#include "base/os/cgroup_stats.h"
#include "base/os/process.h"
#include "base/os/spawn.h"

namespace berth::os {
namespace {

Deadline Soon() { return Deadline::After(absl::Seconds(60)); }

class CgroupStatsRootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    absl::StatusOr<CgroupHost> host = CgroupHost::Probe();
    if (!host.ok()) GTEST_SKIP() << host.status();
    host_.emplace(*std::move(host));
    ASSERT_TRUE(host_->Create(group_).ok());
  }
  void TearDown() override {
    if (!host_.has_value()) return;
    EXPECT_TRUE(host_->Kill(group_, Soon()).ok());
    if (child_.has_value()) EXPECT_TRUE(WaitChild(*child_, Soon()).ok());
    EXPECT_TRUE(host_->Remove(group_, Soon()).ok());
  }
  void Run(const std::string& script) {
    absl::StatusOr<CgroupJoin> join = host_->OpenJoin(group_);
    ASSERT_TRUE(join.ok()) << join.status();
    SpawnOptions options;
    options.path = "/bin/sh";
    options.argv = {"sh", "-c", script};
    options.env = {"PATH=/usr/bin:/bin"};
    options.cgroup_fd = join->into.get();
    for (const UniqueFd& tasks : join->tasks) options.cgroup_tasks_fds.push_back(tasks.get());
    absl::StatusOr<Child> child = Spawn(options);
    ASSERT_TRUE(child.ok()) << child.status();
    child_.emplace(*std::move(child));
  }
  CgroupStats Read() { return CgroupMeter::Open(*host_, group_)->Read().value(); }
  // Until `done` says so; each look is a system call, so the machine is not idle meanwhile.
  template <typename Done>
  bool Until(const CgroupMeter& meter, Done done) {
    const Deadline deadline = Soon();
    while (!deadline.Expired()) {
      const absl::StatusOr<CgroupStats> stats = meter.Read();
      if (!stats.ok()) return false;
      if (done(*stats)) return true;
      sched_yield();
    }
    return false;
  }

  const std::string group_ = absl::StrCat("/berth-test-", getpid(), "-stats");
  std::optional<CgroupHost> host_;
  std::optional<Child> child_;
};

TEST_F(CgroupStatsRootTest, AnEmptyGroupUsesNothingAndABusyOneItsShare) {
  absl::StatusOr<CgroupMeter> meter = CgroupMeter::Open(*host_, group_);
  ASSERT_TRUE(meter.ok()) << meter.status();
  const CgroupStats before = meter->Read().value();
  EXPECT_EQ(before.cpu_usage_ns.value_or(1), 0u);
  EXPECT_EQ(before.pids.value_or(1), 0u);
  Run("while :; do :; done & sleep 1000");
  EXPECT_TRUE(Until(*meter, [](const CgroupStats& s) {
    return s.cpu_usage_ns.value_or(0) > 20'000'000 && s.pids.value_or(0) >= 3 &&
           s.memory->rss > 0 && s.memory->working_set <= s.memory->usage && s.memory->faults > 0;
  }));
}

TEST_F(CgroupStatsRootTest, PressureIsReadWhereTheKernelHasIt) {
  if (host_->v2_root().empty() || access((host_->v2_root() + "/cpu.pressure").c_str(), F_OK) != 0) {
    GTEST_SKIP() << "no pressure files here";
  }
  const CgroupStats stats = Read();
  EXPECT_TRUE(stats.cpu_pressure.has_value());
  EXPECT_TRUE(stats.memory_pressure.has_value());
  EXPECT_TRUE(stats.io_pressure.has_value());
}

TEST_F(CgroupStatsRootTest, AMeterOfARemovedGroupSaysSoAndDoesNotKeepIt) {
  absl::StatusOr<CgroupMeter> meter = CgroupMeter::Open(*host_, group_);
  ASSERT_TRUE(meter.ok()) << meter.status();
  ASSERT_TRUE(host_->Remove(group_, Soon()).ok());
  EXPECT_EQ(meter->Read().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(CgroupStatsRootTest, AChangeThatFailsHalfWayIsTakenBack) {
  CgroupLimits first;
  first.cpu_shares = 512;
  first.cpu_period_us = 100000;
  first.cpu_quota_us = 50000;
  first.memory_bytes = 64 << 20;
  first.memory_swap_bytes = 64 << 20;
  first.cpuset_cpus = "0";
  ASSERT_TRUE(host_->Apply(group_, first).ok());
  CgroupLimits second = first;
  second.cpu_shares = 700;
  second.cpu_period_us = 10000;
  second.cpu_quota_us = 2000;
  second.cpuset_cpus = "4000";
  const absl::StatusOr<std::vector<CgroupFile>> before = host_->Capture(group_, second);
  ASSERT_TRUE(before.ok()) << before.status();
  const absl::Status changed = host_->Change(group_, second);
  EXPECT_EQ(changed.code(), absl::StatusCode::kInvalidArgument) << changed;
  EXPECT_TRUE(absl::StrContains(changed.message(), "4000")) << changed;
  const absl::Status restored = host_->Restore(group_, *before);
  ASSERT_TRUE(restored.ok()) << restored;
  const absl::StatusOr<std::vector<CgroupFile>> after = host_->Capture(group_, second);
  ASSERT_TRUE(after.ok());
  for (size_t i = 0; i < before->size(); ++i) EXPECT_EQ((*after)[i].value, (*before)[i].value);
}

TEST_F(CgroupStatsRootTest, BothMemoryLimitsComeBackFromAboveAndBelow) {
  for (const int64_t next : {256, 32}) {
    CgroupLimits limits;
    limits.memory_bytes = 64 << 20;
    limits.memory_swap_bytes = 64 << 20;
    ASSERT_TRUE(host_->Apply(group_, limits).ok());
    limits.memory_bytes = limits.memory_swap_bytes = next << 20;
    const absl::StatusOr<std::vector<CgroupFile>> before = host_->Capture(group_, limits);
    ASSERT_TRUE(before.ok() && host_->Change(group_, limits).ok());
    EXPECT_EQ(Read().memory->limit, static_cast<uint64_t>(next) << 20);
    const absl::Status restored = host_->Restore(group_, *before);
    ASSERT_TRUE(restored.ok()) << restored;
    EXPECT_EQ(Read().memory->limit, uint64_t{64} << 20);
  }
}

TEST_F(CgroupStatsRootTest, AMemoryLimitBelowWhatProcessesHoldKillsNobody) {
  Run("x=$(head -c 30000000 /dev/zero | tr '\\0' x); while :; do sleep 1000; done");
  absl::StatusOr<CgroupMeter> meter = CgroupMeter::Open(*host_, group_);
  ASSERT_TRUE(meter.ok() &&
              Until(*meter, [](const CgroupStats& s) { return s.memory->rss > 29'000'000; }));
  CgroupLimits limits;
  limits.memory_bytes = limits.memory_swap_bytes = 4 << 20;
  const absl::Status changed = host_->Change(group_, limits);
  EXPECT_EQ(changed.code(), absl::StatusCode::kFailedPrecondition) << changed;
  EXPECT_TRUE(absl::StrContains(changed.message(), "bytes are in use")) << changed;
  EXPECT_FALSE(IsDead(child_->pid));
  EXPECT_EQ(*host_->OomKills(group_), 0u);
}

}  // namespace
}  // namespace berth::os
