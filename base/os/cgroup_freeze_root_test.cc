// Pause and resume on the real kernel: by the v2 tree, and by the v1 freezer, whose hierarchy alone
// is bound to a directory that stands for /sys/fs/cgroup.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "absl/strings/str_cat.h"
#include "base/os/cgroup.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "base/os/spawn.h"
#include "base/os/test_dir.h"
#include "tests/fixtures/leak.h"

namespace berth::os {
namespace {

using ::berth::testing::Eventually;

Deadline Soon() { return Deadline::After(absl::Seconds(20)); }

class FreezeTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    const absl::StatusOr<CgroupHost> real = CgroupHost::Probe();
    ASSERT_TRUE(real.ok()) << real.status();
    std::string source = real->v2_root();
    if (GetParam() == std::string("freezer")) {
      const auto it = real->v1_roots().find("freezer");
      source = it == real->v1_roots().end() ? "" : it->second;
    }
    if (source.empty()) GTEST_SKIP() << "no cgroup hierarchy " << GetParam();
    bound_ = dir_ / GetParam();
    ASSERT_TRUE(MakeDirs(bound_, 0755).ok());
    ASSERT_EQ(mount(source.c_str(), bound_.c_str(), nullptr, MS_BIND, nullptr), 0);
    absl::StatusOr<CgroupHost> host = CgroupHost::Probe(dir_.path());
    ASSERT_TRUE(host.ok()) << host.status();
    host_.emplace(*std::move(host));
    ASSERT_TRUE(host_->Create(group_).ok());
  }
  void TearDown() override {
    if (host_.has_value()) {
      EXPECT_TRUE(host_->Kill(top_, Soon()).ok());
      EXPECT_TRUE(host_->Remove(top_, Soon()).ok());
    }
    if (!bound_.empty()) EXPECT_EQ(umount2(bound_.c_str(), MNT_DETACH), 0);
  }

  Child Run(const std::string& script) {
    SpawnOptions options;
    options.path = "/bin/sh";
    options.argv = {"sh", "-c", script};
    options.env = {"PATH=/usr/bin:/bin"};
    const absl::StatusOr<CgroupJoin> join = host_->OpenJoin(group_);
    EXPECT_TRUE(join.ok()) << join.status();
    options.cgroup_fd = join->into.get();
    for (const UniqueFd& tasks : join->tasks) options.cgroup_tasks_fds.push_back(tasks.get());
    absl::StatusOr<Child> child = Spawn(options);
    EXPECT_TRUE(child.ok()) << child.status();
    return *std::move(child);
  }

  TestDir dir_;
  std::string bound_;
  std::optional<CgroupHost> host_;
  const std::string top_ = absl::StrCat("/berth-test-", getpid(), "-freeze");
  const std::string group_ = top_ + "/container";
};

TEST_P(FreezeTest, AFrozenGroupStandsStillUntilItIsThawed) {
  const std::string counter = dir_ / "counter";
  const Child child =
      Run(absl::StrCat("i=0; while :; do i=$((i+1)); echo $i > ", counter, "; done"));
  ASSERT_TRUE(Eventually([&] { return access(counter.c_str(), F_OK) == 0; }, absl::Seconds(20)));
  EXPECT_FALSE(*host_->IsFrozen(group_));
  absl::Status status = host_->Freeze(group_, Soon());
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(*host_->IsFrozen(group_));
  EXPECT_TRUE(host_->Freeze(group_, Soon()).ok()) << "a second time";
  const absl::StatusOr<std::string> before = ReadFile(counter, 4096);
  // A process that runs takes these 20 ms of a CPU's time for thousands of rounds.
  const Deadline spin = Deadline::After(absl::Milliseconds(20));
  while (!spin.Expired()) {
  }
  EXPECT_EQ(*before, *ReadFile(counter, 4096));
  status = host_->Thaw(group_, Soon());
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_FALSE(*host_->IsFrozen(group_));
  EXPECT_TRUE(host_->Thaw(group_, Soon()).ok()) << "a second time";
  EXPECT_TRUE(Eventually([&] { return *before != *ReadFile(counter, 4096); }, absl::Seconds(20)))
      << "it does not run on";
  EXPECT_TRUE(host_->Kill(group_, Soon()).ok());
  EXPECT_TRUE(WaitChild(child, Soon()).ok());
}

TEST_P(FreezeTest, KillReachesAGroupThatIsFrozen) {
  const Child child = Run("sleep 1000 & sleep 1000");
  ASSERT_TRUE(host_->Freeze(group_, Soon()).ok());
  const absl::Status status = host_->Kill(group_, Soon());
  EXPECT_TRUE(status.ok()) << status;
  const absl::StatusOr<int> ended = WaitChild(child, Soon());
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_TRUE(WIFSIGNALED(*ended));
}

TEST_P(FreezeTest, AnEmptyGroupCanBeFrozen) {
  EXPECT_TRUE(host_->Freeze(group_, Soon()).ok());
  EXPECT_TRUE(*host_->IsFrozen(group_));
  EXPECT_TRUE(host_->Thaw(group_, Soon()).ok());
}

TEST_P(FreezeTest, AGroupBelowAFrozenOneSaysThatItStaysFrozen) {
  const Child child = Run("sleep 1000");
  ASSERT_TRUE(host_->Freeze(top_, Soon()).ok());
  EXPECT_TRUE(*host_->IsFrozen(group_));
  EXPECT_EQ(host_->Thaw(group_, Deadline::After(absl::Milliseconds(10))).code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(host_->Thaw(top_, Soon()).ok());
  EXPECT_FALSE(*host_->IsFrozen(group_));
  EXPECT_TRUE(host_->Kill(group_, Soon()).ok());
  EXPECT_TRUE(WaitChild(child, Soon()).ok());
}

TEST_P(FreezeTest, AnAbsentGroupIsAnError) {
  EXPECT_FALSE(host_->Freeze(top_ + "/never", Soon()).ok());
  EXPECT_FALSE(host_->Thaw(top_ + "/never", Soon()).ok());
  EXPECT_FALSE(host_->IsFrozen(top_ + "/never").ok());
}

INSTANTIATE_TEST_SUITE_P(Hierarchies, FreezeTest, ::testing::Values("unified", "freezer"));

}  // namespace
}  // namespace berth::os
