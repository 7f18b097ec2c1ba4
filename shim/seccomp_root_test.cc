// Seccomp profiles on the real kernel, from the JSON of a spec to what a container's process meets.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/poll.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/test_dir.h"
#include "shim/seccomp/filter.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

SeccompFilter FilterFor(const json& profile) {
  auto cache = seccomp::CompiledProfileCache::Open("");
  absl::StatusOr<SeccompFilter> filter = seccomp::FilterOfSpec(profile.dump(), 0, cache->get());
  EXPECT_TRUE(filter.ok()) << filter.status();
  return filter.value_or(SeccompFilter{});
}

// Everything is allowed but for mkdir.
json OnMkdir(const std::string& action) {
  return {{"defaultAction", "SCMP_ACT_ALLOW"},
          {"syscalls", {{{"names", {"mkdir", "mkdirat"}}, {"action", action}}}}};
}

// Answers each mkdir with EXDEV, all else as the kernel would.
class Agent {
 public:
  explicit Agent(const std::string& path) : path_(path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    EXPECT_LT(path.size(), sizeof address.sun_path);
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_.get(), 8), 0);
    EXPECT_EQ(pipe2(stop_, O_CLOEXEC), 0);
    thread_ = std::thread([this] { Run(); });
  }
  ~Agent() { Stop(); }
  void Stop() {
    if (!thread_.joinable()) return;
    close(stop_[1]);
    thread_.join();
    close(stop_[0]);
    unlink(path_.c_str());
  }
  // What it was told; it has stopped.
  std::vector<json> States() {
    Stop();
    return states_;
  }

 private:
  void Run() {
    while (true) {
      std::vector<pollfd> fds = {{stop_[0], POLLIN, 0}, {listener_.get(), POLLIN, 0}};
      for (const os::UniqueFd& fd : notifiers_) fds.push_back({fd.get(), POLLIN, 0});
      if (poll(fds.data(), fds.size(), -1) < 0) continue;
      if (fds[0].revents != 0) return;
      if (fds[1].revents != 0) Take();
      for (size_t i = fds.size() - 1; i >= 2; --i) {
        if ((fds[i].revents & POLLIN) != 0) {
          Answer(fds[i].fd);
        } else if (fds[i].revents != 0) {
          notifiers_.erase(notifiers_.begin() + static_cast<long>(i) - 2);
        }
      }
    }
  }
  void Take() {
    const os::UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char text[4096];
    iovec part = {text, sizeof text};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t n = recvmsg(connection.get(), &message, MSG_CMSG_CLOEXEC);
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (n <= 0 || header == nullptr || header->cmsg_type != SCM_RIGHTS) return;
    int fd = -1;
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    notifiers_.emplace_back(fd);
    std::string all(text, static_cast<size_t>(n));
    for (ssize_t more; (more = read(connection.get(), text, sizeof text)) > 0;) {
      all.append(text, static_cast<size_t>(more));
    }
    states_.push_back(json::parse(all, nullptr, false));
  }
  static void Answer(int fd) {
    seccomp_notif call{};
    if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) return;
    seccomp_notif_resp answer{};
    answer.id = call.id;
    answer.error = -EXDEV;
    (void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);  // fails where the caller is gone
  }

  const std::string path_;
  os::UniqueFd listener_{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  int stop_[2];
  std::vector<os::UniqueFd> notifiers_;
  std::vector<json> states_;  // the thread's until it has ended
  std::thread thread_;
};

class SeccompTest : public ShimTest {
 protected:
  json Notifying() const {
    json profile = OnMkdir("SCMP_ACT_NOTIFY");
    profile["listenerPath"] = socket_;
    profile["listenerMetadata"] = "what \"the\" agent is told";
    return profile;
  }
  const os::TestDir dir_;
  const std::string socket_ = dir_.path() + "/agent.sock";
};

TEST_F(SeccompTest, EachActionDoesWhatItSays) {
  constexpr char kPrefix[] = "mkdir: can't create directory '/tmp/x': ";
  const std::pair<const char*, std::string> cases[] = {
      // what mkdir said, and its status
      {"SCMP_ACT_ALLOW", "0"},
      {"SCMP_ACT_LOG", "0"},
      {"SCMP_ACT_ERRNO", absl::StrCat(kPrefix, "Operation not permitted\n1")},
      {"SCMP_ACT_TRACE", absl::StrCat(kPrefix, "Function not implemented\n1")},  // no tracer
      {"SCMP_ACT_TRAP", "Bad system call\n159"},
      {"SCMP_ACT_KILL", "Bad system call\n159"},
      {"SCMP_ACT_KILL_THREAD", "Bad system call\n159"},
      {"SCMP_ACT_KILL_PROCESS", "Bad system call\n159"},
  };
  for (const auto& [action, said] : cases) {
    SCOPED_TRACE(action);
    TestContainer c(host_, {"/bin/sleep", "1000"});
    c.launch().seccomp = FilterFor(OnMkdir(action));
    c.Run();
    EXPECT_EQ(c.Exec("exec 2>&1; busybox mkdir /tmp/x; echo $?"), said + "\n");
  }
}

TEST_F(SeccompTest, AnErrnoOfItsOwnIsAnswered) {
  json profile = OnMkdir("SCMP_ACT_ERRNO");
  profile["syscalls"][0]["errnoRet"] = ENOTEMPTY;
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.launch().seccomp = FilterFor(profile);
  c.Run();
  EXPECT_THAT(c.Exec("busybox mkdir /tmp/x 2>&1 || true"), HasSubstr("Directory not empty"));
}

TEST_F(SeccompTest, WhatTheRuntimeCallsBeforeExecNeedNotBeAllowed) {
  for (const bool no_new_privs : {false, true}) {
    SCOPED_TRACE(no_new_privs);
    TestContainer c(host_, {"/bin/true"});
    c.spec().process.no_new_privileges = no_new_privs;
    c.launch().seccomp = FilterFor({{"defaultAction", "SCMP_ACT_ALLOW"},
                                    {"syscalls",
                                     {{{"names", {"write", "capset", "umask", "keyctl", "setsid"}},
                                       {"action", "SCMP_ACT_KILL_PROCESS"}}}}});
    c.Run();
    const ExitRecord record = c.AwaitExit();
    EXPECT_EQ(record.exit_code, 0);
  }
}

// The flags of the newest filter that the kernel shows, SECCOMP_FILTER_FLAG_LOG alone.
uint64_t KernelFlags(pid_t pid) {
  struct {
    uint64_t filter_off;
    uint64_t flags;
  } metadata = {0, ~uint64_t{0}};
  EXPECT_EQ(ptrace(PTRACE_SEIZE, pid, nullptr, nullptr), 0);
  EXPECT_EQ(ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr), 0);
  EXPECT_EQ(waitpid(pid, nullptr, __WALL), pid);
  EXPECT_EQ(ptrace(static_cast<__ptrace_request>(0x420d) /* PTRACE_SECCOMP_GET_METADATA */, pid,
                   sizeof metadata, &metadata),
            static_cast<long>(sizeof metadata))
      << errno;
  EXPECT_EQ(ptrace(PTRACE_DETACH, pid, nullptr, nullptr), 0);
  return metadata.flags;
}

TEST_F(SeccompTest, FlagsReachTheKernel) {
  for (const std::string flag : {"TSYNC", "LOG", "SPEC_ALLOW"}) {
    SCOPED_TRACE(flag);
    json profile = OnMkdir("SCMP_ACT_ERRNO");
    profile["flags"] = {"SECCOMP_FILTER_FLAG_" + flag};
    TestContainer c(host_, {"/bin/sleep", "1000"});
    c.launch().seccomp = FilterFor(profile);
    c.Run();
    EXPECT_EQ(KernelFlags(c.launched().init_pid),
              flag == "LOG" ? uint64_t{SECCOMP_FILTER_FLAG_LOG} : 0);
    EXPECT_THAT(c.Exec("busybox mkdir /tmp/x 2>&1 || true"), HasSubstr("not permitted"));
  }
}

TEST_F(SeccompTest, AnAgentAnswersForTheFirstProcessAndForExecs) {
  for (const bool no_new_privs : {false, true}) {
    SCOPED_TRACE(no_new_privs);
    Agent agent(socket_);
    TestContainer c(host_, Shell("busybox mkdir /tmp/x 2>&1; exec sleep 1000"));
    c.spec().process.no_new_privileges = no_new_privs;
    c.spec().process.user.uid = 1000;
    c.spec().annotations["key"] = "value";
    json profile = Notifying();
    if (no_new_privs) profile["flags"] = {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
    c.launch().seccomp = FilterFor(profile);
    c.launch().bundle = "/the/bundle";
    c.Run();
    c.AwaitLine("mkdir: can't create directory '/tmp/x': Invalid cross-device link");
    EXPECT_THAT(c.Exec("busybox mkdir /tmp/y 2>&1; echo $$ >/dev/null"),
                HasSubstr("Invalid cross-device link"));
    const pid_t init = c.launched().init_pid;
    const std::string version = oci::Spec().oci_version;
    const std::vector<json> states = agent.States();
    ASSERT_EQ(states.size(), 2u);
    json state = {{"ociVersion", version},
                  {"id", c.id().str()},
                  {"status", "creating"},
                  {"bundle", "/the/bundle"},
                  {"annotations", {{"key", "value"}}},
                  {"pid", init}};
    const json first = {{"ociVersion", version},
                        {"fds", {"seccompFd"}},
                        {"metadata", "what \"the\" agent is told"},
                        {"state", state},
                        {"pid", init}};
    EXPECT_EQ(states[0], first);
    state["status"] = "running";
    EXPECT_EQ(states[1]["state"], state);
    EXPECT_NE(states[1]["pid"], init);
    ASSERT_TRUE(c.Remove().ok());
  }
}

TEST_F(SeccompTest, WithoutItsAgentNothingIsMade) {
  TestContainer c(host_, {"/bin/true"});
  c.launch().seccomp = FilterFor(Notifying());
  const absl::Status absent = c.Create();
  EXPECT_EQ(absent.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(absent.message()),
              HasSubstr("linux.seccomp.listenerPath: " + socket_ + ": No such"));
}

TEST_F(SeccompTest, AnAgentThatTakesNoCallsFailsTheCreate) {
  const os::UniqueFd bound(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(bound.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  TestContainer c(host_, {"/bin/true"});
  c.launch().seccomp = FilterFor(Notifying());
  const absl::Status deaf = c.Create();
  EXPECT_EQ(deaf.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(deaf.message()), HasSubstr("connect to agent: Connection refused"));
}

TEST_F(SeccompTest, AnExecWhoseAgentIsGoneFailsAndLeavesNothing) {
  Agent agent(socket_);
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.launch().seccomp = FilterFor(Notifying());
  c.Run();
  agent.Stop();
  ExecOptions options;
  options.args = {"/bin/true"};
  const absl::Status status = c.client().ExecSync(options).status();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("hand seccomp listener to its agent (connect to agent): No such file"));
  EXPECT_THAT(c.Pids(), ElementsAre(c.launched().init_pid));
}

}  // namespace
}  // namespace berth::shim
