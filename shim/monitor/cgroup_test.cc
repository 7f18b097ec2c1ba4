// How the monitor reads what the kernel counted: files as each version of cgroups has them.
#include "shim/monitor/cgroup.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/os/file.h"
#include "base/os/test_dir.h"
#include "shim/monitor/oom.h"

namespace berth::shim::monitor {
namespace {

class OomTest : public ::testing::Test {
 protected:
  void Write(const char* name, const char* text) { dir_.Write(name, text); }
  MonitorState State(bool v1) {
    MonitorState state{};
    state.cgroup_v2_fd = v1 ? -1 : fd_->get();
    state.cgroup_v1_memory = v1 ? 0 : -1;
    state.cgroup_v1_count = v1 ? 1 : 0;
    state.cgroup_v1_fds[0] = fd_->get();
    return state;
  }

  const os::TestDir dir_;
  // The container's group; the one above it is its pod's.
  const absl::StatusOr<os::UniqueFd> fd_ = [&] {
    EXPECT_TRUE(os::MakeDirs(dir_ / "c", 0755).ok());
    return os::Open(dir_ / "c", O_RDONLY | O_DIRECTORY);
  }();
};

TEST_F(OomTest, V1WithoutASignalFromAnyLimitIsTheNodes) {
  Write("c/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
  EXPECT_EQ(FindOomLevel(State(true), OomWatch{}), OomLevel::kNone);
  Write("c/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
  EXPECT_EQ(FindOomLevel(State(true), OomWatch{}), OomLevel::kNode);
}

TEST_F(OomTest, V1NamesTheHighestGroupThatTheKernelSignalled) {
  Write("c/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
  Write("memory.limit_in_bytes", "9223372036854771712\n");
  OomWatch watch{eventfd(1, EFD_CLOEXEC) + 1, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) + 1, 0};
  EXPECT_EQ(FindOomLevel(State(true), watch), OomLevel::kContainer);
  const uint64_t one = 1;
  ASSERT_EQ(write(watch.pod_fd_plus_1 - 1, &one, sizeof one), 8);
  EXPECT_EQ(FindOomLevel(State(true), watch), OomLevel::kNode) << "the pod has no limit";
  ASSERT_EQ(write(watch.pod_fd_plus_1 - 1, &one, sizeof one), 8);
  Write("memory.limit_in_bytes", "104857600\n");
  EXPECT_EQ(FindOomLevel(State(true), watch), OomLevel::kPod);
  close(watch.own_fd_plus_1 - 1);
  close(watch.pod_fd_plus_1 - 1);
}

TEST_F(OomTest, V2NamesTheGroupWhoseLimitWasReached) {
  Write("memory.events.local", "low 0\nhigh 0\nmax 9\noom 3\noom_kill 1\n");
  Write("c/memory.events", "low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\noom_group_kill 0\n");
  OomWatch watch{};
  StartOomWatch(State(false), &watch);
  EXPECT_EQ(FindOomLevel(State(false), watch), OomLevel::kNone);
  Write("c/memory.events", "low 0\nhigh 0\nmax 7\noom 0\noom_kill 1\noom_group_kill 0\n");
  EXPECT_EQ(FindOomLevel(State(false), watch), OomLevel::kNode);
  Write("memory.events.local", "low 0\nhigh 0\nmax 9\noom 4\noom_kill 1\n");
  EXPECT_EQ(FindOomLevel(State(false), watch), OomLevel::kPod);
  Write("c/memory.events", "low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n");
  EXPECT_EQ(FindOomLevel(State(false), watch), OomLevel::kContainer);
}

TEST_F(OomTest, WithoutTheControllerNothingWasKilled) {
  EXPECT_EQ(FindOomLevel(State(true), OomWatch{}), OomLevel::kNone);
  EXPECT_EQ(FindOomLevel(State(false), OomWatch{}), OomLevel::kNone);
  EXPECT_EQ(FindOomLevel(MonitorState{.cgroup_v2_fd = -1, .cgroup_v1_memory = -1}, OomWatch{}),
            OomLevel::kNone);
}

class FrozenTest : public OomTest {};

TEST_F(FrozenTest, EitherVersionsWordCounts) {
  MonitorState v1 = State(true);
  EXPECT_FALSE(IsFrozen(v1));
  Write("c/freezer.state", "THAWED\n");
  EXPECT_FALSE(IsFrozen(v1));
  Write("c/freezer.state", "FREEZING\n");
  EXPECT_TRUE(IsFrozen(v1));
  ThawV1(v1);
  EXPECT_FALSE(IsFrozen(v1));
  Write("c/cgroup.events", "populated 1\nfrozen 0\n");
  EXPECT_FALSE(IsFrozen(State(false)));
  Write("c/cgroup.events", "populated 1\nfrozen 1\n");
  EXPECT_TRUE(IsFrozen(State(false)));
}

}  // namespace
}  // namespace berth::shim::monitor
