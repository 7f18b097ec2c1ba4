// A shim driven without the daemon: Launcher, Client and Watcher on a busybox layer.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "base/os/process.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Args = std::vector<std::string>;

TEST_F(ShimTest, ContainerRunsLogsAndExitsWithItsCode) {
  TestContainer c(host_, Shell("echo out; echo err >&2; exit 37"));
  c.Run();
  const ExitRecord exit = c.AwaitExit();
  EXPECT_EQ(exit.exit_code, 37);
  EXPECT_EQ(exit.signal, 0);
  EXPECT_EQ(exit.oom, OomLevel::kNone);
  EXPECT_THAT(c.Log(), ::testing::UnorderedElementsAre("stdout F out", "stderr F err"));
}

TEST_F(ShimTest, StateFollowsCreateAndStart) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  ASSERT_TRUE(c.Create().ok());
  absl::StatusOr<ShimState> state = c.client().State(Soon());
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->phase, ShimPhase::kCreated);
  EXPECT_EQ(state->init_pid, c.launched().init_pid);
  ASSERT_TRUE(c.Start().ok());
  state = c.client().State(Soon());
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->phase, ShimPhase::kRunning);
  EXPECT_EQ(c.Start().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(os::StartTime(c.launched().shim_pid).value(), c.launched().shim_start_time);
  EXPECT_EQ(os::StartTime(c.launched().init_pid).value(), c.launched().init_start_time);
}

TEST_F(ShimTest, UnendedLastLineIsKeptAsPartial) {
  TestContainer c(host_, Shell("echo one; printf two"));
  c.Run();
  (void)c.AwaitExit();
  EXPECT_THAT(c.Log(), ElementsAre("stdout F one", "stdout P two"));
}

TEST_F(ShimTest, EverythingWrittenBeforeTheExitIsInTheLog) {
  TestContainer c(host_, Shell("seq 1 100000"));
  c.Run();
  (void)c.AwaitExit();
  const Args log = c.Log();
  ASSERT_THAT(log, SizeIs(100000));
  for (size_t i = 0; i < log.size(); ++i) ASSERT_EQ(log[i], absl::StrCat("stdout F ", i + 1));
}

TEST_F(ShimTest, ReopenUnderLoadLosesAndTearsNoLine) {
  TestContainer c(host_, Shell("seq 1 1000000"));
  c.Run();
  Args paths = {c.log_path()};
  for (int i = 1; i <= 20; ++i) {
    const std::string old = absl::StrCat(c.log_path(), ".", i);
    ASSERT_EQ(rename(c.log_path().c_str(), old.c_str()), 0);
    paths.insert(paths.end() - 1, old);
    absl::StatusOr<os::UniqueFd> log =
        os::Open(c.log_path(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL, 0640);
    ASSERT_TRUE(log.ok());
    const absl::Status reopened = c.client().ReopenLog(*std::move(log), Soon());
    if (!reopened.ok()) break;  // it has ended meanwhile
  }
  (void)c.AwaitExit();
  size_t line = 0;
  for (const std::string& path : paths) {
    for (const std::string& record : TestContainer::ReadLog(path)) {
      ASSERT_EQ(record, absl::StrCat("stdout F ", ++line)) << path;
    }
    if (path != c.log_path()) EXPECT_EQ(unlink(path.c_str()), 0);
  }
  EXPECT_EQ(line, 1000000U);
}

TEST_F(ShimTest, FailedExecveComesBackFromStartWithErrnoAndPath) {
  TestContainer c(host_, {"/bin/no-such-program"});
  ASSERT_TRUE(c.Create().ok());
  absl::StatusOr<os::UniqueFd> watch = c.client().Watch(Soon());
  ASSERT_TRUE(watch.ok());
  ASSERT_TRUE(host_->watcher().Add(c.id(), *std::move(watch)).ok());
  const absl::Status status = c.Start();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "exec /bin/no-such-program: No such file or directory");
  EXPECT_EQ(c.AwaitExit().exit_code, 128);
}

TEST_F(ShimTest, StopSignalAndKillGiveTheirCodes) {
  TestContainer handled(host_,
                        Shell("trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done"));
  handled.Run();
  handled.AwaitLine("ready");
  EXPECT_TRUE(handled.client().Signal(SIGTERM, Soon()).ok());
  EXPECT_EQ(handled.AwaitExit().exit_code, 5);

  TestContainer killed(host_, {"/bin/sleep", "1000"});
  killed.Run();
  EXPECT_TRUE(killed.client().Signal(SIGKILL, Soon()).ok());
  const ExitRecord exit = killed.AwaitExit();
  EXPECT_EQ(exit.exit_code, 137);
  EXPECT_EQ(exit.signal, SIGKILL);
}

TEST_F(ShimTest, SigtermWithoutHandlerGives143InTheHostsPidNamespace) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().linux_.namespaces.erase(c.spec().linux_.namespaces.begin());
  c.Run();
  EXPECT_TRUE(c.client().Signal(SIGTERM, Soon()).ok());
  const ExitRecord exit = c.AwaitExit();
  EXPECT_EQ(exit.exit_code, 143);
  EXPECT_EQ(exit.signal, SIGTERM);
}

TEST_F(ShimTest, WhatTheFirstProcessLeavesInTheHostsPidNamespaceDiesWithIt) {
  TestContainer c(host_, Shell("sleep 1000 & (sleep 1000 &) ; exit 3"));
  c.spec().linux_.namespaces.erase(c.spec().linux_.namespaces.begin());
  c.Run();
  EXPECT_EQ(c.AwaitExit().exit_code, 3);
  EXPECT_THAT(c.Pids(), SizeIs(0));
}

TEST_F(ShimTest, SignalEndsAContainerThatWasNeverStarted) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  ASSERT_TRUE(c.Create().ok());
  absl::StatusOr<os::UniqueFd> watch = c.client().Watch(Soon());
  ASSERT_TRUE(watch.ok());
  ASSERT_TRUE(host_->watcher().Add(c.id(), *std::move(watch)).ok());
  EXPECT_TRUE(c.client().Signal(0, Soon()).ok());
  EXPECT_EQ(c.client().State(Soon())->phase, ShimPhase::kCreated);
  EXPECT_TRUE(c.client().Signal(SIGTERM, Soon()).ok());
  EXPECT_EQ(c.AwaitExit().exit_code, 137);
}

TEST_F(ShimTest, KillAllEndsTheContainer) {
  TestContainer c(host_, Shell("sleep 1000 & sleep 1000"));
  c.Run();
  EXPECT_TRUE(c.client().KillAll(Soon()).ok());
  EXPECT_EQ(c.AwaitExit().exit_code, 137);
}

TEST_F(ShimTest, AnOomKillAtItsOwnLimitIsTheContainers) {
  TestContainer c(host_, Shell("x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"));
  c.spec().linux_.resources.memory_bytes = 24 << 20;
  c.Run();
  const ExitRecord exit = c.AwaitExit();
  EXPECT_EQ(exit.exit_code, 137);
  EXPECT_EQ(exit.oom, OomLevel::kContainer);
}

TEST_F(ShimTest, MonitorIgnoresTerminationSignals) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.Run();
  for (int signal_number : {SIGTERM, SIGHUP, SIGINT, SIGUSR1, SIGPIPE}) {
    ASSERT_EQ(kill(c.launched().shim_pid, signal_number), 0);
  }
  EXPECT_EQ(c.client().State(Soon())->phase, ShimPhase::kRunning);
}

TEST_F(ShimTest, KilledShimIsNoticedAndRemoveTakesEverythingAway) {
  TestContainer c(host_, Shell("sleep 1000 & sleep 1000"));
  c.Run();
  ASSERT_EQ(kill(c.launched().shim_pid, SIGKILL), 0);
  EXPECT_EQ(host_->AwaitEvent(c.id()), WatchEvent::kShimGone);
  EXPECT_EQ(c.client().State(Soon()).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(c.client().ReadExit(os::BootId().value())->has_value());
  EXPECT_TRUE(c.Remove().ok());
  EXPECT_TRUE(os::IsDead(c.launched().init_pid));
  EXPECT_TRUE(c.Remove().ok());
}

TEST_F(ShimTest, ExitRecordOfAnotherBootIsNotBelieved) {
  TestContainer c(host_, {"/bin/true"});
  c.Run();
  (void)c.AwaitExit();
  const absl::StatusOr<std::optional<ExitRecord>> exit = c.client().ReadExit("another boot");
  ASSERT_TRUE(exit.ok());
  EXPECT_FALSE(exit->has_value());
}

TEST_F(ShimTest, VolumesAreDetachedBeforeTheExitIsToldAndSharedOnesKeepTheirMounts) {
  const std::string volume = host_->dir() + "/volume";
  ASSERT_EQ(mkdir(volume.c_str(), 0755), 0);
  ASSERT_EQ(mount("test", volume.c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_EQ(mount(nullptr, volume.c_str(), nullptr, MS_SHARED, nullptr), 0);
  {
    TestContainer c(host_, Shell("mount -t tmpfs inner /vol/inner && echo ready; sleep 1000"));
    ASSERT_EQ(mkdir((volume + "/inner").c_str(), 0755), 0);
    c.spec().process.capabilities.bounding = c.spec().process.capabilities.effective =
        c.spec().process.capabilities.permitted = {"CAP_SYS_ADMIN"};
    c.spec().mounts.push_back({"/vol", "bind", volume, {"rbind", "rshared"}});
    absl::StatusOr<os::UniqueFd> tree = os::CloneTree(AT_FDCWD, volume, /*recursive=*/true);
    ASSERT_TRUE(tree.ok());
    c.launch().mount_trees.emplace_back(2, *std::move(tree));
    c.Run();
    c.AwaitLine("ready");
    // Open, it holds the namespace beyond the exit, and shows what is left in it.
    absl::StatusOr<os::UniqueFd> table =
        os::Open(absl::StrCat("/proc/", c.launched().init_pid, "/mountinfo"), O_RDONLY);
    ASSERT_TRUE(table.ok());
    EXPECT_TRUE(c.client().KillAll(Soon()).ok());
    (void)c.AwaitExit();
    const absl::StatusOr<std::string> text = os::ReadAll(table->get(), 16 << 20);
    ASSERT_TRUE(text.ok()) << text.status();
    const auto mounts = os::ParseMountInfo(*text);
    ASSERT_TRUE(mounts.ok()) << mounts.status();
    ASSERT_THAT(*mounts, SizeIs(1)) << *text;
    EXPECT_EQ(mounts->front().target, "/");
  }
  absl::StatusOr<std::string> own = os::ReadFile("/proc/self/mountinfo", 16 << 20);
  ASSERT_TRUE(own.ok());
  EXPECT_THAT(*own, HasSubstr(volume + "/inner")) << "an unmount reached the host";
  EXPECT_EQ(umount2((volume + "/inner").c_str(), 0), 0);
  EXPECT_EQ(umount2(volume.c_str(), 0), 0);
  EXPECT_EQ(rmdir(volume.c_str()), 0);
}

}  // namespace
}  // namespace berth::shim
