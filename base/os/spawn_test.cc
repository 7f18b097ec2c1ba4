#include "base/os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/test_dir.h"

namespace berth::os {
namespace {

using ::testing::HasSubstr;

Deadline Soon() { return Deadline::After(absl::Seconds(60)); }

SpawnOptions Shell(const std::string& script) {
  SpawnOptions options;
  options.path = "/bin/sh";
  options.argv = {"sh", "-c", script};
  options.env = {"PATH=/usr/bin:/bin"};
  return options;
}

int ExitCode(const absl::StatusOr<Child>& child) {
  EXPECT_TRUE(child.ok()) << child.status();
  if (!child.ok()) return -1;
  absl::StatusOr<int> status = WaitChild(*child, Soon());
  EXPECT_TRUE(status.ok()) << status.status();
  return status.ok() && WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
}

// Runs it with standard output in a file and returns what was written.
std::string Output(SpawnOptions options) {
  UniqueFd out(memfd_create("out", MFD_CLOEXEC));
  options.fds.emplace_back(out.get(), 1);
  EXPECT_EQ(ExitCode(Spawn(options)), 0);
  EXPECT_EQ(lseek(out.get(), 0, SEEK_SET), 0);
  absl::StatusOr<std::string> text = ReadAll(out.get(), 1 << 20);
  EXPECT_TRUE(text.ok());
  return *std::move(text);
}

UniqueFd FileWith(const std::string& text) {
  absl::StatusOr<UniqueFd> fd = MemFdWith("test", text);
  EXPECT_TRUE(fd.ok()) << fd.status();
  return *std::move(fd);
}

TEST(SpawnTest, ArgumentsAndEnvironmentArriveAsTheyAre) {
  SpawnOptions options = Shell("printf '%s|' \"$0\" \"$@\"; printf '%s' \"$A\"");
  options.argv.insert(options.argv.end(), {"zero", "", "two words", "\xff"});
  options.env.push_back("A=b=c");
  EXPECT_EQ(Output(options), "zero||two words|\xff|b=c");
}

TEST(SpawnTest, FdsMayChangePlacesWithEachOther) {
  const UniqueFd a = FileWith("aaa"), b = FileWith("bbb"), c = FileWith("ccc");
  SpawnOptions options =
      Shell(absl::StrCat("cat <&", a.get(), "; cat <&", b.get(), "; cat <&", c.get()));
  options.fds = {{a.get(), b.get()}, {b.get(), c.get()}, {c.get(), a.get()}};
  EXPECT_EQ(Output(options), "cccaaabbb");
}

TEST(SpawnTest, OneFdMayHaveSeveralNumbersAndStayAtItsOwn) {
  const UniqueFd a = FileWith("x");
  SpawnOptions options = Shell(
      absl::StrCat("test /dev/fd/", a.get(), " -ef /dev/fd/9 && test /dev/fd/8 -ef /dev/fd/9"));
  options.fds = {{a.get(), a.get()}, {a.get(), 8}, {a.get(), 9}};
  EXPECT_EQ(ExitCode(Spawn(options)), 0);
}

TEST(SpawnTest, EverythingElseIsClosedAndStandardStreamsAreNull) {
  const int leaked = fcntl(2, F_DUPFD, 3);  // NOLINT(android-cloexec-fcntl): deliberately without
  SpawnOptions options;
  options.path = "/bin/ls";
  options.argv = {"ls", "/proc/self/fd"};
  // 3 is ls's own directory.
  EXPECT_EQ(Output(options), "0\n1\n2\n3\n");
  close(leaked);
  EXPECT_EQ(Output(Shell("readlink /proc/self/fd/0 /proc/self/fd/2")), "/dev/null\n/dev/null\n");
}

TEST(SpawnTest, ACallerWithoutStandardStreamsIsServedAsWell) {
  const pid_t pid = fork();
  if (pid == 0) {
    close(0);
    close(1);
    close(2);
    absl::StatusOr<Child> child =
        Spawn(Shell("test /dev/fd/0 -ef /dev/null && test /dev/fd/1 -ef /dev/null && "
                    "test /dev/fd/2 -ef /dev/null && exit 42"));
    if (!child.ok()) _exit(1);
    absl::StatusOr<int> status = WaitChild(*child, Soon());
    _exit(status.ok() && WIFEXITED(*status) ? WEXITSTATUS(*status) : 2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WEXITSTATUS(status), 42);
}

TEST(SpawnTest, AProgramCanBeAnFd) {
  absl::StatusOr<UniqueFd> program = Open("/bin/true", O_PATH);
  ASSERT_TRUE(program.ok());
  SpawnOptions options;
  options.program_fd = program->get();
  options.argv = {"true"};
  EXPECT_EQ(ExitCode(Spawn(options)), 0);
}

TEST(SpawnTest, AFailedExecNamesStepAndCauseAndLeavesNoChild) {
  SpawnOptions options;
  options.path = "/no/such/program";
  options.argv = {"program"};
  const absl::Status status = Spawn(options).status();
  EXPECT_TRUE(IsErrno(status, ENOENT)) << status;
  EXPECT_EQ(status.message(), "start program: exec: No such file or directory");
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(SpawnTest, ABadSourceFdIsAnErrorAndLeavesNoChild) {
  SpawnOptions options = Shell("true");
  options.fds = {{1 << 20, 5}};
  EXPECT_TRUE(IsErrno(Spawn(options).status(), EBADF));
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
}

TEST(SpawnTest, TheChildLeadsASessionUnlessToldOtherwise) {
  SpawnOptions options = Shell("cut -d' ' -f6 /proc/$$/stat; echo $$");
  std::vector<std::string> lines = absl::StrSplit(Output(options), '\n');
  EXPECT_EQ(lines[0], lines[1]);
  options.new_session = false;
  lines = absl::StrSplit(Output(options), '\n');
  EXPECT_EQ(lines[0], absl::StrCat(getsid(0)));
}

std::atomic<int> g_handled{0};

TEST(SpawnTest, SignalsStartAtTheirDefaultsAndTheCallersStayAsTheyWere) {
  g_handled.store(0);
  ASSERT_NE(signal(SIGPIPE, SIG_IGN), SIG_ERR);
  ASSERT_NE(signal(SIGUSR1, [](int) { g_handled.fetch_add(1); }), SIG_ERR);
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);

  const std::string status = Output(Shell("grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status"));
  EXPECT_THAT(status, HasSubstr("SigBlk:\t0000000000000000"));
  EXPECT_THAT(status, HasSubstr("SigIgn:\t0000000000000000"));

  sigset_t now;
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &before, &now), 0);
  EXPECT_EQ(sigismember(&now, SIGUSR2), 1);
  EXPECT_EQ(sigismember(&now, SIGUSR1), 0);
  EXPECT_EQ(raise(SIGUSR1), 0);
  EXPECT_EQ(g_handled.load(), 1);
  EXPECT_EQ(signal(SIGPIPE, SIG_DFL), SIG_IGN);
  EXPECT_NE(signal(SIGUSR1, SIG_DFL), SIG_ERR);
}

TEST(SpawnTest, ManyThreadsMaySpawnAtTheSameTime) {
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(ExitCode(Spawn(Shell(absl::StrCat("exit ", t + 10)))), t + 10);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(SpawnTest, WaitingEndsAtTheDeadlineAndLeavesTheChild) {
  absl::StatusOr<Child> child = Spawn(Shell("exec sleep 1000"));
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(WaitChild(*child, Deadline::After(absl::Milliseconds(1))).status()));
  EXPECT_EQ(kill(child->pid, SIGTERM), 0);
  absl::StatusOr<int> status = WaitChild(*child, Soon());
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(WTERMSIG(*status), SIGTERM);
}

}  // namespace
}  // namespace berth::os
