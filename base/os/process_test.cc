#include "base/os/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os/spawn.h"

namespace berth::os {
namespace {

class ProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SpawnOptions options;
    options.path = "/bin/sleep";
    options.argv = {"sleep", "1000"};
    absl::StatusOr<Child> child = Spawn(options);
    ASSERT_TRUE(child.ok()) << child.status();
    child_ = *std::move(child);
  }
  void TearDown() override {
    if (child_.pid > 0) Reap();
  }
  void Reap() {
    kill(child_.pid, SIGKILL);
    EXPECT_TRUE(WaitChild(child_, Deadline::After(absl::Seconds(60))).ok());
    child_ = {};
  }
  Child child_;
};

TEST_F(ProcessTest, AStartTimeTellsProcessesApart) {
  absl::StatusOr<uint64_t> start = StartTime(child_.pid);
  ASSERT_TRUE(start.ok()) << start.status();
  EXPECT_TRUE(OpenProcess(child_.pid, *start).ok());
  EXPECT_TRUE(absl::IsNotFound(OpenProcess(child_.pid, *start + 1).status()));
}

TEST_F(ProcessTest, AZombieIsDeadBeforeItIsReaped) {
  EXPECT_FALSE(IsDead(child_.pid));
  ASSERT_EQ(kill(child_.pid, SIGKILL), 0);
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, child_.pid, &info, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(IsDead(child_.pid));
  EXPECT_TRUE(StartTime(child_.pid).ok());
}

TEST_F(ProcessTest, APidWithoutProcessIsNotFoundAndDead) {
  const pid_t pid = child_.pid;
  Reap();
  EXPECT_TRUE(IsDead(pid));
  EXPECT_TRUE(absl::IsNotFound(StartTime(pid).status()));
  EXPECT_TRUE(absl::IsNotFound(OpenProcess(pid, 1).status()));
}

TEST(StartTimeTest, ANameWithParenthesesAndBlanksDoesNotConfuseIt) {
  char before[16];
  ASSERT_EQ(prctl(PR_GET_NAME, before), 0);
  absl::StatusOr<uint64_t> plain = StartTime(getpid());
  ASSERT_EQ(prctl(PR_SET_NAME, "a) R 1 (b 2"), 0);
  absl::StatusOr<uint64_t> odd = StartTime(getpid());
  ASSERT_EQ(prctl(PR_SET_NAME, before), 0);
  ASSERT_TRUE(plain.ok() && odd.ok());
  EXPECT_EQ(*plain, *odd);
}

TEST(CapabilityTest, NamesAndNumbersAreThoseOfTheKernel) {
  EXPECT_EQ(*CapabilityNumber("CAP_CHOWN"), 0);
  EXPECT_EQ(*CapabilityNumber("chown"), 0);
  EXPECT_EQ(*CapabilityNumber("Cap_Sys_Admin"), 21);
  EXPECT_EQ(*CapabilityNumber("CHECKPOINT_RESTORE"), 40);
  EXPECT_TRUE(absl::IsInvalidArgument(CapabilityNumber("CAP_NONE").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(CapabilityNumber("").status()));
  for (int n = 0; n <= 40; ++n) EXPECT_EQ(*CapabilityNumber(CapabilityName(n)), n);
  EXPECT_EQ(CapabilityName(77), "CAP_77");
}

TEST(CapabilityTest, TheBoundingSetIsTheOneOfProcStatus) {
  absl::StatusOr<uint64_t> mask = BoundingCapabilities();
  ASSERT_TRUE(mask.ok());
  EXPECT_LT(*mask, uint64_t{1} << (LastCapability() + 1));
  EXPECT_EQ(prctl(PR_CAPBSET_READ, 0, 0, 0, 0), int(*mask & 1));
}

TEST(RlimitTest, NamesAreThoseOfGetrlimit) {
  EXPECT_EQ(RlimitNumber("RLIMIT_NOFILE"), RLIMIT_NOFILE);
  EXPECT_EQ(RlimitNumber("RLIMIT_RTTIME"), RLIMIT_RTTIME);
  EXPECT_EQ(RlimitNumber("NOFILE"), std::nullopt);
  EXPECT_EQ(RlimitNumber(""), std::nullopt);
}

}  // namespace
}  // namespace berth::os
