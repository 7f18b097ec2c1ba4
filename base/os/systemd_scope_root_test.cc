// With the systemd that runs here, where one does (the vm lane's guests); what is said to a systemd
// that is not there anywhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/cgroup_internal.h"
#include "base/os/run_program.h"
#include "base/os/spawn.h"
#include "base/os/systemd_scope.h"
#include "base/os/test_dir.h"

namespace berth::os {
namespace {

using ::testing::HasSubstr;

Deadline Soon() { return Deadline::After(absl::Seconds(120)); }

TEST(SystemdAbsentTest, WhereNoSystemdAnswersEveryCallIsUnavailable) {
  TestDir dir;
  const Systemd systemd(dir / "none");
  const ScopeName name = *ParseScopeName(":berth-test:x");
  EXPECT_EQ(systemd.StartScope(name, getpid(), {}, CgroupLayout::kV2, Soon()).code(),
            absl::StatusCode::kUnavailable);
  const absl::Status stopped = systemd.StopScope(name.unit, Soon());
  EXPECT_EQ(stopped.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(stopped.message()), HasSubstr(dir / "none"));
}

class SystemdScopeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    if (!Systemd::IsRunning()) GTEST_SKIP() << "no systemd runs here";
    host_.emplace(CgroupHost::Probe().value());
    SpawnOptions options;
    options.path = "/bin/sleep";
    options.argv = {"sleep", "1000"};
    absl::StatusOr<Child> child = Spawn(options);
    ASSERT_TRUE(child.ok()) << child.status();
    parked_ = std::move(*child);
  }
  void TearDown() override {
    if (!parked_.has_value()) return;
    EXPECT_TRUE(systemd_.StopScope(name_.unit, Soon()).ok());
    (void)kill(parked_->pid, SIGKILL);  // what a failed test leaves
    EXPECT_TRUE(WaitChild(*parked_, Soon()).ok());
  }
  std::string Text(const std::string& controller, const std::string& file) {
    return cgroup_internal::Read(host_->ControllerDir(controller, name_.cgroup), file)
        .value_or("none");
  }

  const ScopeName name_ = *ParseScopeName(absl::StrCat(":berth-test:", getpid()));
  Systemd systemd_;
  std::optional<CgroupHost> host_;
  std::optional<Child> parked_;
};

TEST_F(SystemdScopeTest, AScopeIsWhereItsNameSaysAndGoesWithItsLastProcess) {
  CgroupLimits limits;
  limits.memory_bytes = 64 << 20;
  limits.pids_max = 11;
  const absl::Status started =
      systemd_.StartScope(name_, parked_->pid, limits, host_->layout(), Soon());
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_THAT(*host_->Pids(name_.cgroup), ::testing::ElementsAre(parked_->pid));
  EXPECT_EQ(Text("pids", "pids.max"), "11");
  EXPECT_EQ(systemd_.StartScope(name_, parked_->pid, limits, host_->layout(), Soon()).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(systemd_.StopScope(name_.unit, Soon()).ok());
  EXPECT_TRUE(systemd_.StopScope(name_.unit, Soon()).ok()) << "an absent one is stopped";
}

TEST_F(SystemdScopeTest, ADaemonReloadResetsNothing) {
  CgroupLimits limits;
  limits.memory_bytes = 64 << 20;
  limits.memory_swap_bytes = 64 << 20;
  limits.pids_max = 11;
  limits.cpu_shares = 512;
  ASSERT_TRUE(systemd_.StartScope(name_, parked_->pid, limits, host_->layout(), Soon()).ok());
  ASSERT_TRUE(host_->Apply(name_.cgroup, limits).ok());
  const std::vector<CgroupFile> before = host_->Capture(name_.cgroup, limits).value();
  Program reload;
  reload.path = "/bin/systemctl";
  reload.argv = {"systemctl", "daemon-reload"};
  const absl::StatusOr<ProgramResult> reloaded = RunProgram(reload, Soon());
  ASSERT_TRUE(reloaded.ok()) << reloaded.status();
  ASSERT_EQ(reloaded->status, 0) << reloaded->errors;
  const std::vector<CgroupFile> after = host_->Capture(name_.cgroup, limits).value();
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].value, after[i].value) << before[i].path;
  }
}

TEST_F(SystemdScopeTest, AnUpdateIsKnownToSystemd) {
  ASSERT_TRUE(systemd_.StartScope(name_, parked_->pid, {}, host_->layout(), Soon()).ok());
  CgroupLimits limits;
  limits.pids_max = 13;
  ASSERT_TRUE(systemd_.SetLimits(name_.unit, limits, host_->layout(), Soon()).ok());
  EXPECT_EQ(Text("pids", "pids.max"), "13");
  EXPECT_EQ(systemd_.SetLimits("berth-none.scope", limits, host_->layout(), Soon()).code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace berth::os
