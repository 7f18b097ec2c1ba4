// How the monitor reads what the kernel counted: files as each version of cgroups has them.
#include "shim/monitor/cgroup.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/os/file.h"
#include "base/os/test_dir.h"

namespace berth::shim::monitor {
namespace {

class OomTest : public ::testing::Test {
 protected:
  void Write(const char* name, const char* text) {
    auto file = os::Open(dir_ / name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ASSERT_TRUE(file.ok() && os::WriteAll(file->get(), text).ok());
  }
  MonitorState State(bool v1) {
    MonitorState state{};
    state.cgroup_v2_fd = v1 ? -1 : fd_->get();
    state.cgroup_v1_memory = v1 ? 0 : -1;
    state.cgroup_v1_count = v1 ? 1 : 0;
    state.cgroup_v1_fds[0] = fd_->get();
    return state;
  }

  const os::TestDir dir_;
  const absl::StatusOr<os::UniqueFd> fd_ = os::Open(dir_.path(), O_RDONLY | O_DIRECTORY);
};

TEST_F(OomTest, V1CountsInOomControl) {
  Write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
  EXPECT_FALSE(WasOomKilled(State(true)));
  Write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
  EXPECT_TRUE(WasOomKilled(State(true)));
}

TEST_F(OomTest, V2CountsInEventsGroupsBelowIncluded) {
  Write("memory.events", "low 0\nhigh 0\nmax 7\noom 1\noom_kill 0\noom_group_kill 0\n");
  EXPECT_FALSE(WasOomKilled(State(false)));
  Write("memory.events", "low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n");
  EXPECT_TRUE(WasOomKilled(State(false)));
}

TEST_F(OomTest, WithoutTheControllerNothingWasKilled) {
  EXPECT_FALSE(WasOomKilled(State(true)));
  EXPECT_FALSE(WasOomKilled(State(false)));
  EXPECT_FALSE(WasOomKilled(MonitorState{.cgroup_v2_fd = -1, .cgroup_v1_memory = -1}));
}

}  // namespace
}  // namespace berth::shim::monitor
