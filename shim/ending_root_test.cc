// How containers end that are frozen, out of memory, full of processes or without their shim.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kEatMemory[] = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";

TEST_F(ShimTest, AnOomKillAtThePodsLimitIsThePods) {
  const std::string pods = absl::StrCat("/", TestTag(), "/pods");
  os::CgroupLimits limits;
  limits.memory_bytes = 24 << 20;
  ASSERT_TRUE(host_->cgroups().Apply(pods, limits).ok());
  {
    TestContainer c(host_, Shell(kEatMemory));
    c.spec().linux_.resources.memory_bytes = 1 << 30;
    c.Run();
    const ExitRecord exit = c.AwaitExit();
    EXPECT_EQ(exit.exit_code, 137);
    EXPECT_EQ(exit.oom, OomLevel::kPod);
  }
  limits.memory_bytes = -1;
  ASSERT_TRUE(host_->cgroups().Apply(pods, limits).ok());
}

class FrozenTest : public ShimTest {
 protected:
  // By the v1 freezer where there is one: "v1"; else as CgroupHost does it.
  void Freeze(const TestContainer& c, const std::string& version) {
    const auto it = host_->cgroups().v1_roots().find("freezer");
    if (version == "v2" || it == host_->cgroups().v1_roots().end()) {
      const absl::Status frozen = host_->cgroups().Freeze(c.group(), Soon());
      ASSERT_TRUE(frozen.ok()) << frozen;
      return;
    }
    const std::string file = absl::StrCat(it->second, c.group(), "/freezer.state");
    ASSERT_TRUE(os::WriteKernelFile(AT_FDCWD, file, "FROZEN").ok());
  }
};

TEST_F(FrozenTest, AFrozenContainerEndsBySigkillAndByKillAll) {
  for (const char* version : {"v1", "v2"}) {
    SCOPED_TRACE(version);
    TestContainer by_signal(host_, Shell("sleep 1000 & sleep 1000"));
    by_signal.Run();
    Freeze(by_signal, version);
    EXPECT_TRUE(by_signal.client().Signal(SIGKILL, Soon()).ok());
    EXPECT_EQ(by_signal.AwaitExit().exit_code, 137);

    TestContainer all(host_, Shell("sleep 1000 & sleep 1000"));
    all.spec().linux_.namespaces.erase(all.spec().linux_.namespaces.begin());
    all.Run();
    Freeze(all, version);
    EXPECT_TRUE(all.client().KillAll(Soon()).ok());
    EXPECT_EQ(all.AwaitExit().exit_code, 137);
    EXPECT_THAT(all.Pids(), IsEmpty());
  }
}

TEST_F(FrozenTest, AnExecIntoAFrozenContainerIsRefusedAndWorksWhenItRunsAgain) {
  for (const char* version : {"v1", "v2"}) {
    SCOPED_TRACE(version);
    TestContainer c(host_, {"/bin/sleep", "1000"});
    c.Run();
    Freeze(c, version);
    ExecOptions options;
    options.args = {"/bin/true"};
    const absl::Status refused = c.client().ExecSync(options).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
    EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("paused"));
    if (version == std::string("v2")) {
      EXPECT_TRUE(host_->cgroups().Thaw(c.group(), Soon()).ok());
      EXPECT_EQ(c.Exec("echo again"), "again\n");
    }
  }
}

TEST_F(FrozenTest, AnExecThatIsFrozenMeanwhileStillTimesOut) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.Run();
  absl::Status status;
  std::thread thread([&] {
    ExecOptions options;
    options.args = Shell("sleep 1000 & sleep 1000");
    options.timeout = absl::Seconds(2);
    status = c.client().ExecSync(options).status();
  });
  EXPECT_TRUE(testing::Eventually([&] { return c.Pids().size() >= 3; }, absl::Seconds(10)));
  Freeze(c, "v2");
  thread.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(c.Pids(), ElementsAre(c.launched().init_pid));
}

TEST_F(ShimTest, ExecsThatDaemoniseAreAllFoundWhenTheirTimeIsUp) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().linux_.resources.pids_max = 500;
  c.Run();
  std::vector<std::thread> threads;
  std::vector<absl::Status> answers(16);
  for (absl::Status& answer : answers) {
    threads.emplace_back([&answer, &c] {
      ExecOptions options;
      // Twice forked away, in sessions of their own, and one that goes on forking.
      options.args = Shell(
          "for i in 1 2 3 4; do (busybox setsid sleep 1000 &); done; (while :; do "
          "(sleep 0.01 &); done) & sleep 1000");
      options.timeout = absl::Milliseconds(500);
      answer = c.client().ExecSync(options).status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& answer : answers) {
    EXPECT_EQ(answer.code(), absl::StatusCode::kDeadlineExceeded) << answer;
  }
  EXPECT_THAT(c.Pids(), ElementsAre(c.launched().init_pid));
}

// PID 1 of this machine reaps late: that the monitor itself did shows in its children.
TEST_F(ShimTest, AnExecThatTimedOutLeavesNoZombieOfTheMonitor) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().linux_.namespaces.erase(c.spec().linux_.namespaces.begin());
  c.Run();
  ExecOptions options;
  options.args = Shell("(busybox setsid sleep 1000 &); sleep 1000 & sleep 1000");
  options.timeout = absl::Milliseconds(300);
  EXPECT_EQ(c.client().ExecSync(options).status().code(), absl::StatusCode::kDeadlineExceeded);
  const pid_t shim = c.launched().shim_pid;
  const absl::StatusOr<std::string> children =
      os::ReadFile(absl::StrCat("/proc/", shim, "/task/", shim, "/children"), 4096);
  ASSERT_TRUE(children.ok()) << children.status();
  EXPECT_EQ(*children, absl::StrCat(c.launched().init_pid, " "));
}

// BERTH_CYCLES=1000 is the long form.
TEST_F(ShimTest, CyclesOfCreateStartExecKillAndDeleteLeaveNothing) {
  const char* wanted = getenv("BERTH_CYCLES");  // NOLINT(concurrency-mt-unsafe): no other thread
  int cycles = 15;
  if (wanted != nullptr) ASSERT_TRUE(absl::SimpleAtoi(wanted, &cycles)) << wanted;
  for (int i = 0; i < cycles && !HasFailure(); ++i) {
    TestContainer c(host_, Shell("echo out; sleep 1000 & sleep 1000"));
    if (i % 2 == 1) c.spec().linux_.namespaces.erase(c.spec().linux_.namespaces.begin());
    c.Run();
    EXPECT_EQ(c.Exec("echo inside"), "inside\n");
    if (i % 3 == 0) {
      ASSERT_EQ(kill(c.launched().shim_pid, SIGKILL), 0);
    } else {
      EXPECT_TRUE(c.client().KillAll(Soon()).ok());
      EXPECT_EQ(c.AwaitExit().exit_code, 137);
    }
    EXPECT_TRUE(c.Remove().ok());
    EXPECT_TRUE(os::IsDead(c.launched().init_pid));
  }
}

}  // namespace
}  // namespace berth::shim
