// Containers and execs with a terminal.
#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "shim/console.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const oci::Mount kDevpts = {
    "/dev/pts",
    "devpts",
    "devpts",
    {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}};

// Prints session, controlling terminal and its foreground group of the shell that runs it.
constexpr char kJob[] =
    "set -- $(cat /proc/$$/stat); [ $6 = $$ ] && [ $8 = $$ ] && [ $7 != 0 ] && echo leads";

class TerminalTest : public ShimTest {
 protected:
  void TearDown() override {
    EXPECT_TRUE(os::RemoveTree(AT_FDCWD, Image()).ok());
    ShimTest::TearDown();
  }

  static std::unique_ptr<TestContainer> WithTerminal(const std::string& script) {
    auto container = std::make_unique<TestContainer>(host_, Shell(script));
    container->spec().process.terminal = true;
    container->spec().mounts.push_back(kDevpts);
    return container;
  }
  // Its /dev is the image's.
  static std::unique_ptr<TestContainer> WithDevOfImage(const std::string& script) {
    auto container = WithTerminal(script);
    container->spec().mounts.erase(container->spec().mounts.begin() + 1);
    container->launch().root.lowers = {"layers/terminal", "layers/busybox"};
    return container;
  }
  static std::string Image() { return host_->dir() + "/data/layers/terminal"; }
  static void MakeImage() { ASSERT_TRUE(os::MakeDirs(Image() + "/dev", 0755).ok()); }
  static void PutFile(const std::string& path, const std::string& text) {
    const auto fd = os::Open(Image() + path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    ASSERT_TRUE(fd.ok()) << fd.status();
    ASSERT_TRUE(os::WriteAll(fd->get(), text).ok());
  }

  static std::unique_ptr<TestContainer> Sleeper() {
    auto container =
        std::make_unique<TestContainer>(host_, std::vector<std::string>{"/bin/sleep", "1000"});
    container->spec().mounts.push_back(kDevpts);
    return container;
  }
  static absl::StatusOr<TerminalExec> ExecTerminal(const TestContainer& container,
                                                   const std::string& script) {
    return container.client().ExecTerminal(Shell(script), absl::Seconds(20), Soon());
  }
};

// What comes out of a master until `wanted` has come, or to the end.
std::string ReadTerminal(int master, const std::string& wanted = "") {
  std::string text;
  const Deadline deadline = TestContainer::Soon();
  while (wanted.empty() || text.find(wanted) == std::string::npos) {
    pollfd p{master, POLLIN, 0};
    if (poll(&p, 1, deadline.PollMillis()) <= 0) return text + " (and no more in time)";
    char chunk[4096];
    const ssize_t n = read(master, chunk, sizeof chunk);
    if (n < 0) return errno == EIO ? text : absl::StrCat(text, " (errno ", errno, ")");
    text.append(chunk, static_cast<size_t>(n));
  }
  return text;
}

TEST_F(TerminalTest, StandardStreamsAreTheControllingTerminal) {
  const auto c = WithTerminal(absl::StrCat(
      "for fd in 0 1 2; do [ -t $fd ] && readlink /proc/self/fd/$fd; done; tty; ", kJob,
      "; echo err >&2; echo mine >/dev/tty; echo console >/dev/console; stty size"));
  c->spec().process.console_height = 40;
  c->spec().process.console_width = 120;
  c->Run();
  EXPECT_EQ(c->AwaitExit().exit_code, 0);
  EXPECT_THAT(c->Log(),
              ElementsAre("stdout F /dev/pts/0\r", "stdout F /dev/pts/0\r", "stdout F /dev/pts/0\r",
                          "stdout F /dev/pts/0\r", "stdout F leads\r", "stdout F err\r",
                          "stdout F mine\r", "stdout F console\r", "stdout F 40 120\r"));
}

TEST_F(TerminalTest, TerminalBelongsToTheUserWithModeAndGroupOfItsDevpts) {
  const auto c = WithTerminal("stat -c '%t,%T %a %u:%g' /dev/pts/0 /dev/console; ls /proc/self/fd");
  c->spec().process.user.uid = 1000;
  c->spec().process.user.gid = 1000;
  c->Run();
  EXPECT_EQ(c->AwaitExit().exit_code, 0);
  // Descriptor 3 is the directory that ls reads: nothing of ours is left open.
  EXPECT_THAT(c->Log(), ElementsAre("stdout F 88,0 620 1000:5\r", "stdout F 88,0 620 1000:5\r",
                                    "stdout F 0  1  2  3\r"));
}

TEST_F(TerminalTest, AResizeReachesTheProcess) {
  const auto c =
      WithTerminal("trap 'stty size' WINCH; sleep 1000 & echo ready; while :; do wait; done");
  c->Run();
  c->AwaitLine("ready\r");
  ASSERT_TRUE(c->client().Resize({50, 132}, Soon()).ok());
  c->AwaitLine("50 132\r");
  ASSERT_TRUE(c->client().Resize({24, 80}, Soon()).ok());
  c->AwaitLine("24 80\r");
  ASSERT_TRUE(c->client().KillAll(Soon()).ok());
  (void)c->AwaitExit();
  EXPECT_FALSE(c->client().Resize({1, 1}, Soon()).ok());
}

TEST_F(TerminalTest, ResizeWithoutATerminalIsRefused) {
  const auto c = Sleeper();
  c->Run();
  const absl::Status status = c->client().Resize({50, 132}, Soon());
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no terminal"));
}

TEST_F(TerminalTest, AllThatWasWrittenBeforeTheExitIsInTheLog) {
  const std::string line(1022, 'x');
  const auto c = WithTerminal(absl::StrCat("yes ", line, " | head -n 1024; echo end"));
  c->Run();
  EXPECT_EQ(c->AwaitExit().exit_code, 0);
  const std::vector<std::string> log = c->Log();
  ASSERT_EQ(log.size(), 1025U);
  for (size_t i = 0; i < 1024; ++i) ASSERT_EQ(log[i], absl::StrCat("stdout F ", line, "\r")) << i;
  EXPECT_EQ(log[1024], "stdout F end\r");
}

TEST_F(TerminalTest, ATextWithoutAnEndOfLineIsInTheLogToo) {
  const auto c = WithTerminal("echo -n prompt");
  c->Run();
  (void)c->AwaitExit();
  EXPECT_THAT(c->Log(), ElementsAre("stdout P prompt"));
}

// Between two writers no process has the terminal open: its master reads as ended.
TEST_F(TerminalTest, ConsoleThatIsOpenedAgainIsReadAgain) {
  const auto c = WithTerminal(
      "echo one; exec 0<&- 1>&- 2>&-; while [ ! -e /tmp/go ]; do :; done; echo two >/dev/console");
  c->Run();
  c->AwaitLine("one\r");
  const std::string fds = absl::StrCat("/proc/", c->launched().init_pid, "/fd/");
  EXPECT_TRUE(testing::Eventually(
      [&] {
        return access((fds + "0").c_str(), F_OK) != 0 && access((fds + "1").c_str(), F_OK) != 0 &&
               access((fds + "2").c_str(), F_OK) != 0;
      },
      absl::Seconds(20)));
  // Answered after what happened before: the shim has seen the terminal's end by now.
  ASSERT_TRUE(c->client().State(Soon()).ok());
  ExecOptions go;
  go.args = Shell(": >/tmp/go");
  (void)c->client().ExecSync(go);  // it may be killed with the container, which ends by it
  EXPECT_EQ(c->AwaitExit().exit_code, 0);
  EXPECT_THAT(c->Log(), ElementsAre("stdout F one\r", "stdout F two\r"));
}

TEST_F(TerminalTest, AnExecGetsATerminalOfItsOwn) {
  const auto c = Sleeper();
  c->Run();
  const auto exec = ExecTerminal(*c, absl::StrCat(kJob, "; tty; stat -c %a:%g $(tty); exit 5"));
  ASSERT_TRUE(exec.ok()) << exec.status();
  EXPECT_EQ(ReadTerminal(exec->master()), "leads\r\n/dev/pts/0\r\n620:5\r\n");
  const absl::StatusOr<int> code = exec->Wait(Soon());
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 5);
}

TEST_F(TerminalTest, AnExecReadsWhatIsTypedAndSeesItsResize) {
  const auto c = WithTerminal("sleep 1000");
  c->Run();
  const auto exec = ExecTerminal(
      *c,
      "stty -echo; trap 'stty size; s=1' WINCH; echo ready; while [ -z $s ]; do :; done; "
      "read word; echo got $word; tty");
  ASSERT_TRUE(exec.ok()) << exec.status();
  EXPECT_EQ(ReadTerminal(exec->master(), "ready\r\n"), "ready\r\n");
  ASSERT_TRUE(SetWindowSize(exec->master(), {33, 99}).ok());
  EXPECT_EQ(ReadTerminal(exec->master(), "33 99\r\n"), "33 99\r\n");
  ASSERT_EQ(write(exec->master(), "hello\n", 6), 6);
  // The container's own is pts/0.
  EXPECT_EQ(ReadTerminal(exec->master()), "got hello\r\n/dev/pts/1\r\n");
}

TEST_F(TerminalTest, ControlCInterruptsTheForegroundGroup) {
  const auto c = Sleeper();
  c->Run();
  const auto exec =
      ExecTerminal(*c, "trap 'echo caught; exit 3' INT; sleep 1000 & echo ready; wait; wait");
  ASSERT_TRUE(exec.ok()) << exec.status();
  EXPECT_EQ(ReadTerminal(exec->master(), "ready\r\n"), "ready\r\n");
  ASSERT_EQ(write(exec->master(), "\x03", 1), 1);
  EXPECT_EQ(ReadTerminal(exec->master(), "caught\r\n"), "^Ccaught\r\n");
  EXPECT_EQ(exec->Wait(Soon()).value_or(-1), 3);
}

TEST_F(TerminalTest, HangingUpOnAnExecEndsIt) {
  const auto c = Sleeper();
  c->Run();
  {
    const auto exec = ExecTerminal(*c, "echo ready; trap '' HUP; sleep 1000");
    ASSERT_TRUE(exec.ok()) << exec.status();
    ReadTerminal(exec->master(), "ready");
  }
  EXPECT_TRUE(testing::Eventually([&] { return c->Pids().size() == 1; }, absl::Seconds(20)));
}

TEST_F(TerminalTest, AnExecThatFailsSaysWhy) {
  const auto c = Sleeper();
  c->Run();
  const auto exec = c->client().ExecTerminal({"/bin/nothing"}, absl::Seconds(20), Soon());
  ASSERT_TRUE(exec.ok()) << exec.status();
  const absl::Status status = exec->Wait(Soon()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("exec /bin/nothing: No such file"));
  EXPECT_EQ(ReadTerminal(exec->master()), "");
}

TEST_F(TerminalTest, AnExecInAContainerWithoutADevptsIsRefused) {
  const auto c = Sleeper();
  c->spec().mounts.pop_back();
  c->Run();
  const absl::Status status = ExecTerminal(*c, "true").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("make terminal /dev/pts/ptmx"));
}

TEST_F(TerminalTest, AnExecDoesNotTakeWhatAProcessMountedOverTheMultiplexer) {
  const auto c = Sleeper();
  oci::Capabilities& caps = c->spec().process.capabilities;
  caps.bounding = caps.permitted = caps.effective = {"CAP_SYS_ADMIN"};
  c->Run();
  (void)c->Exec("mount -o bind /dev/zero /dev/pts/ptmx");
  const absl::Status over = ExecTerminal(*c, "true").status();
  EXPECT_THAT(std::string(over.message()), HasSubstr("Invalid cross-device link"));
  (void)c->Exec("mount -t tmpfs none /dev/pts && : >/dev/pts/ptmx");
  const absl::Status instead = ExecTerminal(*c, "true").status();
  EXPECT_THAT(std::string(instead.message()), HasSubstr("No such device"));
}

TEST_F(TerminalTest, AnImageWithItsOwnMultiplexerIsRefused) {
  MakeImage();
  ASSERT_TRUE(os::MakeDirs(Image() + "/dev/pts", 0755).ok());
  PutFile("/dev/pts/ptmx", "");
  auto c = WithDevOfImage("true");
  c->spec().mounts.pop_back();
  const absl::Status file = c->Create();
  EXPECT_EQ(file.code(), absl::StatusCode::kInvalidArgument) << file;
  EXPECT_THAT(std::string(file.message()), HasSubstr("make terminal: /dev/pts/ptmx"));
  ASSERT_EQ(unlink((Image() + "/dev/pts/ptmx").c_str()), 0);
  ASSERT_EQ(symlink("/dev/zero", (Image() + "/dev/pts/ptmx").c_str()), 0);
  c = WithDevOfImage("true");
  c->spec().mounts.pop_back();
  EXPECT_EQ(c->Create().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(TerminalTest, AnImageWhoseDevptsDirectoryIsALinkIsRefused) {
  MakeImage();
  ASSERT_EQ(symlink("/tmp", (Image() + "/dev/pts").c_str()), 0);
  const auto c = WithDevOfImage("true");
  const absl::Status status = c->Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
}

TEST_F(TerminalTest, AnImageWhoseConsoleIsALinkIsRefused) {
  MakeImage();
  ASSERT_TRUE(os::MakeDirs(Image() + "/etc", 0755).ok());
  PutFile("/etc/secret", "secret\n");
  ASSERT_EQ(symlink("/etc/secret", (Image() + "/dev/console").c_str()), 0);
  const auto c = WithDevOfImage("true");
  const absl::Status status = c->Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("make terminal: /dev/console"));
}

TEST_F(TerminalTest, AConsoleOfTheImageIsHiddenAndStaysAsItIs) {
  MakeImage();
  PutFile("/dev/console", "of the image\n");
  const auto c = WithDevOfImage("echo new >/dev/console");
  c->Run();
  EXPECT_EQ(c->AwaitExit().exit_code, 0);
  EXPECT_THAT(c->Log(), ElementsAre("stdout F new\r"));
  EXPECT_EQ(os::ReadFile(Image() + "/dev/console", 64).value_or(""), "of the image\n");
  EXPECT_NE(
      access(absl::StrCat(host_->dir(), "/data/containers/", c->id().str(), "/upper/dev/console")
                 .c_str(),
             F_OK),
      0);
}

}  // namespace
}  // namespace berth::shim
