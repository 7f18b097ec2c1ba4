#include "base/os/run_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/process.h"
#include "base/os/test_dir.h"

namespace berth::os {
namespace {

Deadline Soon() { return Deadline::After(absl::Seconds(60)); }

Program Shell(const std::string& script) {
  Program program;
  program.path = "/bin/sh";
  program.argv = {"sh", "-c", script};
  program.env = {"PATH=/usr/bin:/bin"};
  return program;
}

TEST(RunProgramTest, InputGoesInAndBothOutputsComeBack) {
  Program program = Shell("cat; echo oops >&2; exit 3");
  program.input = std::string(300 << 10, 'x');  // more than a pipe holds
  absl::StatusOr<ProgramResult> result = RunProgram(program, Soon());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->end, ProgramEnd::kEnded);
  EXPECT_EQ(WEXITSTATUS(result->status), 3);
  EXPECT_TRUE(result->output == program.input);
  EXPECT_EQ(result->errors, "oops\n");
}

TEST(RunProgramTest, EnvironmentIsExactlyWhatIsGiven) {
  absl::StatusOr<ProgramResult> result =
      RunProgram({"/usr/bin/env", {"env"}, {"A=1", "B=two words"}, ""}, Soon());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "A=1\nB=two words\n");
}

TEST(RunProgramTest, DeadlineKillsAGrandchildToo) {
  TestDir dir;
  absl::StatusOr<ProgramResult> result =
      RunProgram(Shell(absl::StrCat("echo half; sleep 1000 & echo $! >", dir / "pid", "; wait")),
                 Deadline::After(absl::Milliseconds(200)));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->end, ProgramEnd::kOutOfTime);
  EXPECT_EQ(result->output, "half\n");
  EXPECT_EQ(WTERMSIG(result->status), SIGKILL);
  int pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(*ReadFile(dir / "pid", 64), &pid));
  // The kill was sent to the whole group at once; the sleeper needs a moment to be a zombie.
  const Deadline patience = Soon();
  while (!IsDead(pid) && !patience.Expired()) {
  }
  EXPECT_TRUE(IsDead(pid));
}

TEST(RunProgramTest, EndlessOutputIsCutOff) {
  Program program = Shell("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done");
  program.max_output = 10000;
  absl::StatusOr<ProgramResult> result = RunProgram(program, Soon());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->end, ProgramEnd::kTooMuchOutput);
  EXPECT_EQ(result->output.size(), 10000u);
}

TEST(RunProgramTest, ErrorsBeyondTheLimitAreDroppedAndTheProgramGoesOn) {
  Program program = Shell(
      "i=0; while [ $i -lt 5000 ]; do echo aaaaaaaaaaaaaaaaaaaa >&2; i=$((i+1)); done; echo ok");
  program.max_errors = 100;
  absl::StatusOr<ProgramResult> result = RunProgram(program, Soon());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->end, ProgramEnd::kEnded);
  EXPECT_EQ(result->output, "ok\n");
  EXPECT_EQ(result->errors.size(), 100u);
}

TEST(RunProgramTest, AChildThatKeepsTheOutputOpenIsNotWaitedFor) {
  TestDir dir;
  absl::StatusOr<ProgramResult> result =
      RunProgram(Shell(absl::StrCat("sleep 1000 & echo $! >", dir / "pid", "; echo done")), Soon());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->end, ProgramEnd::kEnded);
  EXPECT_EQ(result->output, "done\n");
  int pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(*ReadFile(dir / "pid", 64), &pid));
  EXPECT_FALSE(IsDead(pid));
  kill(pid, SIGKILL);
}

TEST(RunProgramTest, DeathBySignalIsSeen) {
  absl::StatusOr<ProgramResult> result = RunProgram(Shell("kill -SEGV $$"), Soon());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->end, ProgramEnd::kEnded);
  EXPECT_TRUE(WIFSIGNALED(result->status));
  EXPECT_EQ(WTERMSIG(result->status), SIGSEGV);
}

TEST(RunProgramTest, AMissingProgramIsTheErrnoOfTheExec) {
  EXPECT_TRUE(IsErrno(RunProgram({"/nonexistent", {"x"}, {}, ""}, Soon()).status(), ENOENT));
}

}  // namespace
}  // namespace berth::os
