#include "base/os/process_watcher.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <set>

#include "base/clock.h"
#include "base/os/spawn.h"

namespace berth::os {
namespace {

class ProcessWatcherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto watcher = ProcessWatcher::Start([this](const std::string& key) {
      MutexLock lock(&mu_);
      told_.insert(key);
      cv_.NotifyAll();
    });
    ASSERT_TRUE(watcher.ok()) << watcher.status();
    watcher_ = *std::move(watcher);
  }
  static Child Sleeper() {
    SpawnOptions options;
    options.path = "/bin/sleep";
    options.argv = {"sleep", "1000"};
    absl::StatusOr<Child> child = Spawn(options);
    EXPECT_TRUE(child.ok()) << child.status();
    return child.ok() ? *std::move(child) : Child{};
  }
  static UniqueFd Open(const Child& child) {
    return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, child.pid, 0)));
  }
  static void End(const Child& child) {
    EXPECT_EQ(kill(child.pid, SIGKILL), 0);
    EXPECT_TRUE(WaitChild(child, Deadline::After(absl::Seconds(20))).ok());
  }
  bool AwaitTold(const std::string& key) {
    const Deadline deadline = Deadline::After(absl::Seconds(20));
    MutexLock lock(&mu_);
    while (told_.count(key) == 0 && !deadline.Expired()) {
      (void)cv_.WaitFor(&mu_, deadline.Remaining());  // the loop looks at both causes
    }
    return told_.count(key) == 1 && told_.size() == 1;
  }

  Mutex mu_;
  CondVar cv_;
  std::multiset<std::string> told_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<ProcessWatcher> watcher_;
};

TEST_F(ProcessWatcherTest, TellsTheEndOfWhatItWatchesAndOfNothingElse) {
  const Child watched = Sleeper();
  const Child forgotten = Sleeper();
  ASSERT_TRUE(watcher_->Add("forgotten", Open(forgotten)).ok());
  ASSERT_TRUE(watcher_->Add("watched", Open(watched)).ok());
  watcher_->Remove("forgotten");
  watcher_->Remove("never seen");
  End(forgotten);
  End(watched);
  EXPECT_TRUE(AwaitTold("watched"));
}

TEST_F(ProcessWatcherTest, OneThatHasEndedAlreadyIsToldAtOnce) {
  const Child child = Sleeper();
  UniqueFd pidfd = Open(child);
  End(child);
  ASSERT_TRUE(watcher_->Add("late", std::move(pidfd)).ok());
  EXPECT_TRUE(AwaitTold("late"));
}

}  // namespace
}  // namespace berth::os
