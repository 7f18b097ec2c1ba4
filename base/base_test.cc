// Small parts of base: clock, ids, failpoints, status macros.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status_macros.h"

namespace berth {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

TEST(DeadlineTest, PassedAndInfiniteOnesAnswerForPoll) {
  EXPECT_TRUE(Deadline::After(absl::ZeroDuration()).Expired());
  EXPECT_TRUE(Deadline::After(-absl::Seconds(1)).Expired());
  EXPECT_EQ(Deadline::After(-absl::InfiniteDuration()).PollMillis(), 0);
  EXPECT_EQ(Deadline::Infinite().PollMillis(), -1);
  EXPECT_EQ(Deadline::After(absl::InfiniteDuration()).Remaining(), absl::InfiniteDuration());
  EXPECT_FALSE(Deadline::Infinite().Expired());
}

TEST(DeadlineTest, PollMillisRoundsUpSoThatAWaitIsNeverABusyLoop) {
  EXPECT_EQ(Deadline::After(absl::Hours(48)).PollMillis(), 3600 * 1000);
  EXPECT_GT(Deadline::After(absl::Hours(1)).PollMillis(), 3500 * 1000);
}

TEST(DeadlineTest, HugeDurationsDoNotOverflow) {
  EXPECT_FALSE(Deadline::After(absl::Hours(24 * 365 * 1000)).Expired());
}

TEST(DeadlineTest, MinIsTheEarlier) {
  const Deadline passed = Deadline::After(absl::ZeroDuration());
  EXPECT_TRUE(passed.Min(Deadline::Infinite()).Expired());
  EXPECT_TRUE(Deadline::Infinite().Min(passed).Expired());
}

TEST(CondVarTest, AWaitWithoutEndIsNotOneThatEndsAtOnce) {
  Mutex mu;
  CondVar cv;
  MutexLock lock(&mu);
  EXPECT_FALSE(cv.WaitFor(&mu, absl::Milliseconds(1)));
  EXPECT_FALSE(cv.WaitFor(&mu, -absl::Seconds(1)));
  EXPECT_FALSE(cv.WaitFor(&mu, -absl::InfiniteDuration()));
}

TEST(IdsTest, OnlySixtyFourLowerCaseHexDigitsAreAnId) {
  const std::string good(64, 'a');
  EXPECT_TRUE(SandboxId::Parse(good).ok());
  for (const std::string& bad : {std::string(), std::string(63, 'a'), std::string(65, 'a'),
                                 std::string(64, 'A'), std::string(63, 'a') + "/"}) {
    EXPECT_EQ(SandboxId::Parse(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_EQ(SandboxId::Parse(good)->Short(), std::string(13, 'a'));
}

TEST(IdsTest, NewIdsParseAndDiffer) {
  const ContainerId a = ContainerId::New(), b = ContainerId::New();
  EXPECT_NE(a, b);
  EXPECT_EQ(*ContainerId::Parse(a.str()), a);
}

TEST(IdsTest, ADigestIsSha256AndHex) {
  const std::string hex(64, '0');
  EXPECT_EQ(Digest::Parse("sha256:" + hex)->hex(), hex);
  EXPECT_EQ(Digest::FromSha256Hex(hex)->str(), "sha256:" + hex);
  for (const std::string& bad : {hex, "sha512:" + hex, "sha256:" + hex + "0",
                                 std::string("sha256:"), std::string("sha256:../../../etc")}) {
    EXPECT_FALSE(Digest::Parse(bad).ok()) << bad;
  }
}

absl::Status Step() {
  BERTH_FAILPOINT(base_test_step);
  return absl::OkStatus();
}
absl::StatusOr<int> Value() {
  BERTH_FAILPOINT(base_test_value);
  return 7;
}

class FailpointTest : public ::testing::Test {
 protected:
  void TearDown() override { EXPECT_TRUE(failpoint::Configure("").ok()); }
};

TEST_F(FailpointTest, EveryCompiledNameIsListed) {
  EXPECT_THAT(failpoint::List(), Contains("base_test_step"));
  EXPECT_THAT(failpoint::List(), Contains("base_test_value"));
}

TEST_F(FailpointTest, TermsAreUsedUpFromTheLeft) {
  ASSERT_TRUE(failpoint::Configure("base_test_step=2*off->1*error;base_test_value=error").ok());
  EXPECT_TRUE(Step().ok());
  EXPECT_TRUE(Step().ok());
  EXPECT_FALSE(Step().ok());
  EXPECT_TRUE(Step().ok());
  EXPECT_FALSE(Value().ok());
  EXPECT_FALSE(Value().ok());
}

TEST_F(FailpointTest, APlanThatDoesNotParseIsRefusedAndTheOldOneStays) {
  ASSERT_TRUE(failpoint::Configure("base_test_step=error").ok());
  for (const char* plan :
       {"no_such_point=error", "base_test_step", "base_test_step=", "base_test_step=explode",
        "base_test_step=0*error", "base_test_step=-1*error", "base_test_step=x*error",
        "base_test_step=3*", "base_test_step=delay(x)", "base_test_step=delay(-5)",
        "base_test_step=delay(1", "base_test_step=error->"}) {
    EXPECT_EQ(failpoint::Configure(plan).code(), absl::StatusCode::kInvalidArgument) << plan;
  }
  EXPECT_FALSE(Step().ok());
}

TEST_F(FailpointTest, KillIsDashNine) {
  const pid_t pid = fork();
  if (pid == 0) {
    if (failpoint::Configure("base_test_step=kill").ok()) (void)Step();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(StatusMacrosTest, AnnotateKeepsCodeAndPayloadAndPutsContextFirst) {
  absl::Status inner = absl::UnavailableError("no answer");
  inner.SetPayload("url", absl::Cord("x"));
  const absl::Status outer = Annotate(inner, "ask shim");
  EXPECT_EQ(outer.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(outer.message(), "ask shim: no answer");
  EXPECT_TRUE(outer.GetPayload("url").has_value());
  EXPECT_EQ(WithCode(absl::StatusCode::kInternal, inner, "").code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(Annotate(absl::OkStatus(), "x").ok());
}

absl::StatusOr<int> Twice(absl::StatusOr<int> in) {
  ASSIGN_OR_RETURN_CTX(const int value, std::move(in), "double");
  return 2 * value;
}

TEST(StatusMacrosTest, AssignOrReturnPassesValuesAndErrors) {
  EXPECT_EQ(*Twice(4), 8);
  EXPECT_EQ(Twice(absl::AbortedError("lost")).status(), absl::AbortedError("double: lost"));
}

}  // namespace
}  // namespace berth
