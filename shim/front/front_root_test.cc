// berth-oci as an engine calls it: the built program, a busybox root, a real kernel.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/os/cgroup.h"
#include "base/os/file.h"
#include "base/os/run_program.h"
#include "base/os/spawn.h"
#include "shim/console.h"
#include "tests/fixtures/leak.h"

namespace berth::shim::front {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr absl::Duration kPatience = absl::Seconds(30);

struct Answer {
  int code = -1;
  std::string out;
  std::string err;
};

class FrontTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::BecomeSubreaper();
    tag_ = absl::StrCat("berth-test-", getpid());
    dir_ = absl::StrCat("/tmp/", tag_, "-oci");
    testing::LeakScope scope;
    scope.tag = tag_;
    scope.process = getpid();
    leaks_ = std::make_unique<testing::LeakCheck>(scope);
    for (const char* sub : {"bin", "dev", "proc", "tmp"}) {
      ASSERT_TRUE(os::MakeDirs(absl::StrCat(dir_, "/rootfs/", sub), 0755).ok());
    }
    const absl::StatusOr<std::string> busybox = os::ReadFile("/bin/busybox", 16 << 20);
    ASSERT_TRUE(busybox.ok()) << busybox.status() << " (Debian package busybox-static)";
    WriteFile(dir_ + "/rootfs/bin/busybox", *busybox, 0755);
    for (const char* applet : {"sh", "sleep", "true", "id", "cat", "echo", "readlink", "ls"}) {
      ASSERT_EQ(symlink("busybox", absl::StrCat(dir_, "/rootfs/bin/", applet).c_str()), 0);
    }
  }
  void TearDown() override {
    // What a failed test left.
    const std::vector<std::string> left =
        absl::StrSplit(Oci({"list", "-q"}).out, '\n', absl::SkipEmpty());
    for (const std::string& id : left) {
      (void)Oci({"delete", "--force", id});
    }
    EXPECT_TRUE(os::RemoveTree(AT_FDCWD, dir_).ok());
    leaks_->Expect();
  }

  static void WriteFile(const std::string& path, const std::string& text, mode_t mode) {
    (void)unlink(path.c_str());
    const absl::StatusOr<os::UniqueFd> fd = os::Open(path, O_WRONLY | O_CREAT | O_EXCL, mode);
    ASSERT_TRUE(fd.ok() && os::WriteAll(fd->get(), text).ok()) << path;
  }

  // A bundle for this command of a shell; `more` follows the members of the object: ", ...".
  void Bundle(const std::string& script, const std::string& more = "") {
    constexpr char kConfig[] =
        R"({"ociVersion": "1.2.0", "root": {"path": "rootfs"},
            "process": {"args": ["/bin/sh", "-c", "SCRIPT"], "cwd": "/", "user": {"uid": 0, "gid": 0},
                        "env": ["PATH=/bin"]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"cgroupsPath": "/TAG/c",
                      "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"},
                                     {"type": "ipc"}, {"type": "cgroup"}]} MORE})";
    WriteFile(dir_ + "/config.json",
              absl::StrReplaceAll(kConfig, {{"SCRIPT", script}, {"TAG", tag_}, {"MORE", more}}),
              0644);
  }
  // The same with a terminal, and a devpts to make it in.
  void TerminalBundle(const std::string& script) {
    Bundle(script);
    const std::string config = os::ReadFile(dir_ + "/config.json", 1 << 20).value();
    WriteFile(dir_ + "/config.json",
              absl::StrReplaceAll(
                  config, {{"\"process\": {", "\"process\": {\"terminal\": true, "},
                           {"\"mounts\": [",
                            R"("mounts": [{"destination": "/dev", "type": "tmpfs", "source": "x"},
                                 {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                                  "options": ["newinstance", "ptmxmode=0666", "mode=0620"]}, )"}}),
              0644);
  }
  // A hook as JSON that appends its name and a word to the file "log" of the bundle.
  std::string Hook(const std::string& name, const std::string& word, int code = 0) const {
    return absl::StrCat(R"({"path": "/bin/busybox", "args": ["sh", "-c", "read s; echo )", name,
                        " ", word, " >> ", dir_, "/log; exit ", code, "\"]}");
  }
  std::vector<std::string> Log() const {
    const absl::StatusOr<std::string> text = os::ReadFile(dir_ + "/log", 1 << 20);
    return absl::StrSplit(text.ok() ? *text : "", '\n', absl::SkipEmpty());
  }

  std::vector<std::string> CommandLine(const std::vector<std::string>& words) const {
    std::vector<std::string> argv = {"berth-oci", "--root", dir_ + "/run"};
    argv.insert(argv.end(), words.begin(), words.end());
    return argv;
  }
  Answer Oci(const std::vector<std::string>& words) const {
    const absl::StatusOr<os::ProgramResult> result =
        os::RunProgram({BERTH_OCI_PATH, CommandLine(words), {}, ""}, Deadline::After(kPatience));
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return {};
    EXPECT_EQ(result->end, os::ProgramEnd::kEnded) << absl::StrJoin(words, " ");
    return {WIFEXITED(result->status) ? WEXITSTATUS(result->status) : -1, result->output,
            result->errors};
  }
  void ExpectOk(const std::vector<std::string>& words) const {
    const Answer answer = Oci(words);
    EXPECT_EQ(answer.code, 0) << absl::StrJoin(words, " ") << ": " << answer.err;
  }
  void ExpectRefused(const std::vector<std::string>& words, const std::string& why) const {
    const Answer answer = Oci(words);
    EXPECT_EQ(answer.code, 1) << absl::StrJoin(words, " ");
    EXPECT_THAT(answer.err, HasSubstr(why)) << absl::StrJoin(words, " ");
  }
  void ExpectStatus(const std::string& status) const {
    EXPECT_THAT(Oci({"state", "c"}).out, HasSubstr(absl::StrCat("\"status\": \"", status, "\"")));
  }
  void AwaitStopped() const {
    EXPECT_TRUE(testing::Eventually(
        [&] {
          return Oci({"state", "c"}).out.find("stopped") != std::string::npos;
        },
        kPatience));
  }

  std::string tag_;
  std::string dir_;

 private:
  std::unique_ptr<testing::LeakCheck> leaks_;
};

TEST_F(FrontTest, AContainerGoesThroughItsLifeAndNothingOutOfTurnHappens) {
  Bundle("sleep 1000");
  ExpectOk({"create", "-b", dir_, "--pid-file", dir_ + "/pid", "c"});
  ExpectStatus("created");
  EXPECT_THAT(Oci({"state", "c"}).out,
              HasSubstr(absl::StrCat("\"pid\": ", os::ReadFile(dir_ + "/pid", 64).value())));
  ExpectRefused({"create", "-b", dir_, "c"}, "exists already");
  ExpectRefused({"delete", "c"}, "is created");
  ExpectOk({"start", "c"});
  ExpectStatus("running");
  ExpectRefused({"start", "c"}, "is running");
  ExpectRefused({"delete", "c"}, "is running");
  EXPECT_THAT(Oci({"list"}).out, HasSubstr("running"));
  ExpectOk({"kill", "c", "KILL"});
  AwaitStopped();
  ExpectRefused({"kill", "c", "TERM"}, "is not running");
  ExpectRefused({"start", "c"}, "is stopped");
  ExpectOk({"delete", "c"});
  for (const char* command : {"state", "start", "delete", "kill"}) {
    ExpectRefused({command, "c"}, "container c: does not exist");
  }
  ExpectOk({"delete", "--force", "c"});
}

TEST_F(FrontTest, RunPassesOutputAndExitCodeThroughAndLeavesNothing) {
  Bundle("echo said; exit 7");
  const Answer answer = Oci({"run", "-b", dir_, "c"});
  EXPECT_EQ(answer.code, 7) << answer.err;
  EXPECT_EQ(answer.out, "said\n");
  EXPECT_EQ(Oci({"list", "-q"}).out, "");
  Bundle("kill -9 $$; sleep 1000");  // PID 1 of its namespace is immune to its own signals
  ExpectOk({"run", "-d", "-b", dir_, "c"});
  ExpectOk({"delete", "-f", "c"});
}

TEST_F(FrontTest, AProgramThatCannotBeExecutedIsToldAtStart) {
  Bundle("true");
  const std::string config = os::ReadFile(dir_ + "/config.json", 1 << 20).value();
  WriteFile(dir_ + "/config.json", absl::StrReplaceAll(config, {{"/bin/sh", "/bin/none"}}), 0644);
  ExpectOk({"create", "-b", dir_, "c"});
  ExpectRefused({"start", "c"}, "exec: /bin/none: No such file or directory");
  AwaitStopped();
  ExpectOk({"delete", "c"});
  ExpectRefused({"run", "-b", dir_, "c"}, "exec: /bin/none: No such file or directory");
}

TEST_F(FrontTest, ABadConfigurationIsRefusedByItsPathBeforeAnythingIsMade) {
  const std::pair<const char*, const char*> wrong[] = {
      {R"(, "mounts": [{"destination": "/x", "type": "bind", "source": "/none/there"}])",
       "mounts[0].source"},
      {R"(, "hooks": {"prestart": [{"path": "relative"}]})", "hooks.prestart[0].path"},
      {R"(, "hostname": 7)", "hostname"}};
  for (const auto& [more, path] : wrong) {
    Bundle("true", "");
    std::string config = os::ReadFile(dir_ + "/config.json", 1 << 20).value();
    const size_t mounts = config.find("\"mounts\"");
    if (std::string(more).find("mounts") != std::string::npos) {
      config.erase(mounts, config.find("\"linux\"") - mounts);
    }
    config.insert(config.rfind('}'), more);
    WriteFile(dir_ + "/config.json", config, 0644);
    ExpectRefused({"create", "-b", dir_, "c"}, path);
    EXPECT_EQ(Oci({"list", "-q"}).out, "") << more;
  }
}

TEST_F(FrontTest, ExecJoinsTheContainerAndTakesItsFlags) {
  Bundle("sleep 1000");
  ExpectOk({"run", "-d", "-b", dir_, "c"});
  const Answer answer =
      Oci({"exec", "-u", "7:8", "-g", "9", "-e", "A=b", "--cwd", "/tmp", "c", "sh", "-c",
           "echo $A $(id -u) $(id -G) $(readlink /proc/self/cwd); exit 5"});
  EXPECT_EQ(answer.code, 5) << answer.err;
  EXPECT_EQ(answer.out, "b 7 8 9 /tmp\n");
  EXPECT_EQ(Oci({"exec", "c", "readlink", "/proc/self/ns/pid"}).out,
            Oci({"exec", "c", "readlink", "/proc/1/ns/pid"}).out);
  ExpectOk({"exec", "-d", "--pid-file", dir_ + "/pid", "c", "sleep", "999"});
  const std::string pid = os::ReadFile(dir_ + "/pid", 64).value();
  EXPECT_THAT(Oci({"ps", "-f", "json", "c"}).out, HasSubstr(pid));
  EXPECT_THAT(Oci({"ps", "c"}).out, HasSubstr("sleep 999"));
  ExpectRefused({"exec", "c", "/none"}, "exec: /none: No such file or directory");
  // An orphan of its exec is ours to reap: a PID namespace does not end before its last zombie.
  pid_t orphan = 0;
  ASSERT_TRUE(absl::SimpleAtoi(pid, &orphan));
  ASSERT_EQ(kill(orphan, SIGKILL), 0);
  EXPECT_TRUE(testing::Eventually([&] { return kill(orphan, 0) != 0; }, absl::Seconds(20)));
  ExpectOk({"delete", "-f", "c"});
}

TEST_F(FrontTest, APausedContainerStandsStillUntilItIsResumed) {
  Bundle("sleep 1000");
  ExpectOk({"run", "-d", "-b", dir_, "c"});
  ExpectRefused({"resume", "c"}, "is running");
  ExpectOk({"pause", "c"});
  ExpectStatus("paused");
  ExpectRefused({"exec", "c", "true"}, "is paused");
  ExpectOk({"resume", "c"});
  ExpectStatus("running");
  ExpectOk({"update", "--pids-limit", "33", "c"});
  const os::CgroupHost cgroups = os::CgroupHost::Probe().value();
  EXPECT_THAT(
      os::ReadFile(cgroups.ControllerDir("pids", absl::StrCat("/", tag_, "/c")) + "/pids.max", 64)
          .value(),
      StartsWith("33"));
  EXPECT_THAT(Oci({"events", "--stats", "c"}).out, HasSubstr("\"type\":\"stats\""));
  ExpectOk({"pause", "c"});
  ExpectOk({"delete", "-f", "c"});
}

TEST_F(FrontTest, HooksRunInTheirOrderAndNamespaces) {
  const std::string uts = "$(/bin/busybox readlink /proc/self/ns/uts)";
  const std::string in_container =
      R"({"path": "/bin/busybox", "args": ["sh", "-c", "read s; echo \"$s\" > /tmp/state"]})";
  Bundle("cat /tmp/state",
         absl::StrCat(R"(, "hooks": {"prestart": [)", Hook("prestart", uts),
                      R"(], "createRuntime": [)", Hook("createRuntime", uts),
                      R"(], "createContainer": [)", Hook("createContainer", uts),
                      R"(], "startContainer": [)", in_container, R"(], "poststart": [)",
                      Hook("poststart", uts), R"(], "poststop": [)", Hook("poststop", uts), "]}"));
  const Answer answer = Oci({"run", "-b", dir_, "c"});
  EXPECT_EQ(answer.code, 0) << answer.err;
  EXPECT_THAT(answer.out, HasSubstr("\"pid\":1,\"status\":\"created\""));
  char host[64] = {};
  ASSERT_GT(readlink("/proc/self/ns/uts", host, sizeof host - 1), 0);
  EXPECT_THAT(Log(),
              ElementsAre(absl::StrCat("prestart ", host), absl::StrCat("createRuntime ", host),
                          AllOf(StartsWith("createContainer uts:"), Not(HasSubstr(host))),
                          absl::StrCat("poststart ", host), absl::StrCat("poststop ", host)));
}

TEST_F(FrontTest, AHookThatFailsUndoesTheContainer) {
  for (const char* kind : {"prestart", "createRuntime", "createContainer", "poststart"}) {
    (void)unlink((dir_ + "/log").c_str());
    Bundle("sleep 1000", absl::StrCat(R"(, "hooks": {")", kind, "\": [", Hook(kind, "", 3),
                                      R"(], "poststop": [)", Hook("poststop", ""), "]}"));
    ExpectRefused({"run", "-d", "-b", dir_, "c"}, absl::StrCat("hooks.", kind, "[0]"));
    EXPECT_THAT(Log(), ElementsAre(StartsWith(kind), StartsWith("poststop"))) << kind;
    EXPECT_EQ(Oci({"list", "-q"}).out, "") << kind;
  }
}

TEST_F(FrontTest, AHookThatTakesTooLongIsKilled) {
  for (const char* kind : {"prestart", "createContainer"}) {
    Bundle("true", absl::StrCat(R"(, "hooks": {")", kind,
                                R"(": [{"path": "/bin/busybox", "args": ["sleep", "1000"],
                                        "timeout": 1}]})"));
    ExpectRefused({"run", "-b", dir_, "c"}, absl::StrCat("hooks.", kind, "[0]"));
  }
}

TEST_F(FrontTest, WhatAKilledCreateLeavesIsClearedByDelete) {
  // The hook says that it runs and stays until we close a FIFO: `create` is killed in the middle.
  ASSERT_EQ(mkfifo((dir_ + "/there").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo((dir_ + "/end").c_str(), 0600), 0);
  const absl::StatusOr<os::UniqueFd> end = os::Open(dir_ + "/end", O_RDWR);
  ASSERT_TRUE(end.ok());
  Bundle("true", absl::StrCat(R"(, "hooks": {"createRuntime": [{"path": "/bin/busybox",
                                "args": ["sh", "-c", "echo x > )",
                              dir_, R"(/there; read x < )", dir_, R"(/end"]}]})"));
  os::SpawnOptions options;
  options.path = BERTH_OCI_PATH;
  options.argv = CommandLine({"create", "-b", dir_, "c"});
  const absl::StatusOr<os::Child> create = os::Spawn(options);
  ASSERT_TRUE(create.ok()) << create.status();
  const testing::OwnedChild owned(create->pid);
  // Opening to read waits for the hook.
  const absl::StatusOr<os::UniqueFd> there = os::Open(dir_ + "/there", O_RDONLY);
  ASSERT_TRUE(there.ok());
  ExpectStatus("creating");
  ASSERT_EQ(kill(create->pid, SIGKILL), 0);
  ASSERT_TRUE(os::WaitChild(*create, Deadline::After(kPatience)).ok());
  ExpectStatus("stopped");
  ExpectOk({"delete", "--force", "c"});
}

// What comes out of a terminal's master until `wanted`, or to the end.
std::string ReadTerminal(int master, const std::string& wanted = "") {
  std::string text;
  const Deadline deadline = Deadline::After(kPatience);
  while (wanted.empty() || text.find(wanted) == std::string::npos) {
    pollfd p{master, POLLIN, 0};
    if (poll(&p, 1, deadline.PollMillis()) <= 0) return text + " (and no more in time)";
    char chunk[4096];
    const ssize_t n = read(master, chunk, sizeof chunk);
    if (n <= 0) break;
    text.append(chunk, static_cast<size_t>(n));
  }
  return text;
}

// berth-oci at a terminal of 31 rows and 91 columns.
class AtTerminal {
 public:
  explicit AtTerminal(const std::vector<std::string>& argv) {
    int master = -1;
    int slave = -1;
    winsize size{31, 91, 0, 0};
    EXPECT_EQ(openpty(&master, &slave, nullptr, nullptr, &size), 0);
    master_.reset(master);
    const os::UniqueFd closed(slave);
    os::SpawnOptions options;
    options.path = BERTH_OCI_PATH;
    options.argv = argv;
    for (int fd = 0; fd < 3; ++fd) options.fds.emplace_back(slave, fd);
    absl::StatusOr<os::Child> child = os::Spawn(options);
    EXPECT_TRUE(child.ok()) << child.status();
    if (child.ok()) child_ = *std::move(child);
  }
  int master() const { return master_.get(); }
  pid_t pid() const { return child_.pid; }
  int AwaitExit() const {
    const absl::StatusOr<int> status = os::WaitChild(child_, Deadline::After(kPatience));
    EXPECT_TRUE(status.ok()) << status.status();
    return status.ok() && WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
  }

 private:
  os::UniqueFd master_;
  os::Child child_;
};

TEST_F(FrontTest, RunInTheForegroundIsTheContainersTerminal) {
  TerminalBundle(
      "busybox stty -echo; trap 'busybox stty size; s=1' WINCH; busybox stty size; "
      "while [ -z $s ]; do :; done; read w; echo got $w; busybox tty; exit 5");
  const AtTerminal run(CommandLine({"run", "-b", dir_, "c"}));
  EXPECT_EQ(ReadTerminal(run.master(), "31 91\r\n"), "31 91\r\n");
  ASSERT_TRUE(SetWindowSize(run.master(), {32, 92}).ok());
  ASSERT_EQ(kill(run.pid(), SIGWINCH), 0);
  EXPECT_EQ(ReadTerminal(run.master(), "32 92\r\n"), "32 92\r\n");
  ASSERT_EQ(write(run.master(), "word\r", 5), 5);
  EXPECT_EQ(ReadTerminal(run.master()), "got word\r\n/dev/pts/0\r\n");
  EXPECT_EQ(run.AwaitExit(), 5);
}

TEST_F(FrontTest, ControlCAtExecIsForItsForegroundGroup) {
  TerminalBundle("sleep 1000");
  const AtTerminal run(CommandLine({"run", "-b", dir_, "c"}));
  EXPECT_TRUE(testing::Eventually(
      [&] {
        return Oci({"state", "c"}).out.find("running") != std::string::npos;
      },
      kPatience));
  const AtTerminal exec(CommandLine({"exec", "-t", "c", "/bin/sh", "-c",
                                     "trap 'exit 6' INT; sleep 1000 & echo ready; wait; wait"}));
  EXPECT_EQ(ReadTerminal(exec.master(), "ready\r\n"), "ready\r\n");
  ASSERT_EQ(write(exec.master(), "\x03", 1), 1);
  EXPECT_EQ(ReadTerminal(exec.master()), "^C");
  EXPECT_EQ(exec.AwaitExit(), 6);
  ExpectOk({"kill", "c", "KILL"});
  EXPECT_EQ(run.AwaitExit(), 137);
}

TEST_F(FrontTest, ATerminalGoesOverTheConsoleSocket) {
  TerminalBundle("echo said; busybox tty");
  ExpectRefused({"create", "-b", dir_, "c"}, "process.terminal: needs --console-socket");
  ExpectRefused({"run", "-d", "-b", dir_, "c"}, "process.terminal: needs --console-socket");
  const os::UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = dir_ + "/console";
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  ExpectOk({"create", "--console-socket", path, "-b", dir_, "c"});
  const os::UniqueFd connection(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const absl::StatusOr<os::UniqueFd> master =
      ReceiveConsole(connection.get(), Deadline::After(kPatience));
  ASSERT_TRUE(master.ok()) << master.status();
  ExpectOk({"start", "c"});
  EXPECT_EQ(ReadTerminal(master->get()), "said\r\n/dev/pts/0\r\n");
  AwaitStopped();
  ExpectOk({"delete", "c"});
}

TEST_F(FrontTest, CyclesLeaveNothing) {
  Bundle("sleep 1000");
  for (int i = 0; i < 100 && !HasFailure(); ++i) {
    ExpectOk({"create", "-b", dir_, "c"});
    ExpectOk({"start", "c"});
    ExpectOk({"exec", "c", "true"});
    ExpectOk({"kill", "c", "KILL"});
    ExpectOk({"delete", "--force", "c"});
  }
}

TEST_F(FrontTest, ErrorsGoToTheLogInTheFormThatEnginesRead) {
  const Answer answer = Oci({"--log", dir_ + "/log.json", "--log-format", "json", "state", "none"});
  EXPECT_EQ(answer.code, 1);
  EXPECT_THAT(
      os::ReadFile(dir_ + "/log.json", 4096).value(),
      AllOf(StartsWith(R"({"level":"error","msg":"container none: does not exist","time":")"),
            HasSubstr("Z\"}\n")));
}

}  // namespace
}  // namespace berth::shim::front
