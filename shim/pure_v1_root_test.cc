// The same shim on a host that has cgroup v1 alone: its hierarchies are bound to a directory of the
// test, which the launcher takes for /sys/fs/cgroup.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using ::testing::SizeIs;

class PureV1Test : public ::testing::Test {
 protected:
  PureV1Test() : root_(absl::StrCat("/tmp/", TestTag(), "-v1")) {
    testing::BecomeSubreaper();
    const os::CgroupHost real = os::CgroupHost::Probe().value();
    for (const auto& [controllers, dir] : real.v1_roots()) {
      const std::string target = absl::StrCat(root_, dir.substr(dir.rfind('/')));
      EXPECT_TRUE(os::MakeDirs(target, 0755).ok());
      EXPECT_EQ(mount(dir.c_str(), target.c_str(), nullptr, MS_BIND, nullptr), 0);
      bound_.push_back(target);
    }
  }
  void SetUp() override {
    if (bound_.empty()) GTEST_SKIP() << "this host has no cgroup v1";
    host_ = std::make_unique<TestHost>(root_);
    ASSERT_EQ(host_->cgroups().layout(), os::CgroupLayout::kV1);
  }
  ~PureV1Test() override {
    if (host_ != nullptr) {
      EXPECT_TRUE(
          host_->cgroups().Remove(absl::StrCat("/", TestTag()), TestContainer::Soon()).ok());
    }
    host_.reset();
    for (const std::string& target : bound_) {
      EXPECT_EQ(umount2(target.c_str(), MNT_DETACH), 0);
      EXPECT_EQ(rmdir(target.c_str()), 0);
    }
    (void)rmdir(root_.c_str());  // not there when nothing was bound
  }

  const std::string root_;
  std::vector<std::string> bound_;
  std::unique_ptr<TestHost> host_;
};

TEST_F(PureV1Test, ContainerRunsExecsAndEnds) {
  TestContainer c(host_.get(), Shell("echo hello; sleep 1000"));
  c.Run();
  EXPECT_EQ(c.Exec("echo inside"), "inside\n");
  c.AwaitLine("hello");
  EXPECT_TRUE(c.client().Signal(SIGKILL, TestContainer::Soon()).ok());
  EXPECT_EQ(c.AwaitExit().exit_code, 137);
}

TEST_F(PureV1Test, ExecThatTimesOutIsKilledWithAllThatItStarted) {
  TestContainer c(host_.get(), {"/bin/sleep", "1000"});
  c.Run();
  ExecOptions options;
  // Twice forked away, in sessions of their own, and one that goes on forking.
  options.args = Shell(
      "for i in 1 2 3 4; do (busybox setsid sleep 1000 &); done; (while :; do "
      "(sleep 0.01 &); done) & sleep 1000");
  options.timeout = absl::Milliseconds(500);
  EXPECT_EQ(c.client().ExecSync(options).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(c.Pids(), SizeIs(1));
}

TEST_F(PureV1Test, AFrozenContainerRefusesExecsAndCanBeKilled) {
  TestContainer c(host_.get(), Shell("sleep 1000 & sleep 1000"));
  c.Run();
  ASSERT_TRUE(host_->cgroups().Freeze(c.group(), TestContainer::Soon()).ok());
  ExecOptions options;
  options.args = {"/bin/true"};
  EXPECT_EQ(c.client().ExecSync(options).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(c.client().KillAll(TestContainer::Soon()).ok());
  EXPECT_EQ(c.AwaitExit().exit_code, 137);
}

TEST_F(PureV1Test, WhatTheFirstProcessLeavesDiesWithIt) {
  TestContainer c(host_.get(), Shell("sleep 1000 & (sleep 1000 &) ; exit 3"));
  c.spec().linux_.namespaces.erase(c.spec().linux_.namespaces.begin());
  c.Run();
  EXPECT_EQ(c.AwaitExit().exit_code, 3);
  EXPECT_THAT(c.Pids(), SizeIs(0));
}

TEST_F(PureV1Test, KillAllAndAKilledShimLeaveNothing) {
  TestContainer all(host_.get(), Shell("sleep 1000 & sleep 1000"));
  all.Run();
  EXPECT_TRUE(all.client().KillAll(TestContainer::Soon()).ok());
  EXPECT_EQ(all.AwaitExit().exit_code, 137);

  TestContainer c(host_.get(), Shell("sleep 1000 & sleep 1000"));
  c.Run();
  ASSERT_EQ(kill(c.launched().shim_pid, SIGKILL), 0);
  EXPECT_EQ(host_->AwaitEvent(c.id()), WatchEvent::kShimGone);
  EXPECT_TRUE(c.Remove().ok());
}

}  // namespace
}  // namespace berth::shim
