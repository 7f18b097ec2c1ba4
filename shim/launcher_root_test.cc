// A launcher whose creates fail, and a shim that is spoken to in nonsense.
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/os/file.h"
#include "shim/connection.h"
#include "shim/protocol.h"
#include "shim/sealed_program.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using LauncherTest = ShimTest;

TEST_F(LauncherTest, SecondCreateOfAnIdIsRefusedAndHarmsNothing) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  Launch again{.id = c.id(), .spec = c.spec(), .root = c.launch().root};
  c.Run();
  EXPECT_EQ(host_->launcher().Create(std::move(again), Soon()).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(c.client().State(Soon())->phase, ShimPhase::kRunning);
}

TEST_F(LauncherTest, FailedCreateNamesItsCauseAndLeavesNothing) {
  {
    TestContainer c(host_, {"/bin/true"});
    c.launch().root.lowers = {"layers/none"};
    EXPECT_FALSE(c.Create().ok());
    EXPECT_FALSE(os::Open(host_->launcher().RunDir(c.id()), O_PATH).ok());
    EXPECT_FALSE(os::Open(host_->cgroups().v2_root() + c.group(), O_PATH).ok());
  }
  {
    TestContainer c(host_, {"/bin/true"});
    c.spec().process.cwd = "no/absolute/path";
    EXPECT_EQ(c.Create().code(), absl::StatusCode::kInvalidArgument);
  }
  {
    TestContainer c(host_, {"/bin/true"});
    c.spec().linux_.resources.unified["no.such.file"] = "1";
    EXPECT_FALSE(c.Create().ok());
  }
  {
    TestContainer c(host_, {"/bin/true"});
    const absl::Status status =
        host_->launcher()
            .Create(std::move(c.launch()), Deadline::After(absl::ZeroDuration()))
            .status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  }
}

TEST_F(LauncherTest, FailedCreateRemovesParentCgroupsThatItMade) {
  TestContainer c(host_, {"/bin/true"});
  const std::string parent = absl::StrCat("/", TestTag(), "/new-pod");
  c.spec().linux_.cgroups_path = absl::StrCat(parent, "/deep/", c.id().str());
  c.launch().root.lowers = {"layers/none"};
  EXPECT_FALSE(c.Create().ok());
  EXPECT_FALSE(os::Open(host_->cgroups().v2_root() + parent, O_PATH).ok());
}

TEST_F(LauncherTest, EveryFailpointOfCreateLeavesNothing) {
  for (const std::string& name : failpoint::List()) {
    if (name.rfind("launcher_after_", 0) != 0) continue;
    SCOPED_TRACE(name);
    TestContainer c(host_, {"/bin/true"});
    ASSERT_TRUE(failpoint::Configure(name + "=error").ok());
    EXPECT_FALSE(c.Create().ok());
    ASSERT_TRUE(failpoint::Configure("").ok());
    EXPECT_FALSE(os::Open(host_->launcher().RunDir(c.id()), O_PATH).ok());
  }
}

TEST_F(LauncherTest, RemoveGoesOnWhereAnInterruptedOneStopped) {
  for (const char* name : {"launcher_remove_after_kill", "launcher_remove_after_cgroup"}) {
    SCOPED_TRACE(name);
    TestContainer c(host_, {"/bin/sleep", "1000"});
    c.Run();
    ASSERT_TRUE(failpoint::Configure(absl::StrCat(name, "=1*error")).ok());
    EXPECT_FALSE(c.Remove().ok());
    EXPECT_TRUE(os::Open(host_->launcher().RunDir(c.id()), O_PATH).ok());
    ASSERT_TRUE(failpoint::Configure("").ok());
    EXPECT_TRUE(c.Remove().ok());
  }
}

TEST_F(LauncherTest, ProgramIsSealedAgainstEveryChange) {
  const absl::StatusOr<os::UniqueFd> program = OpenSealedProgram(BERTH_SHIM_PATH);
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_LT(write(program->get(), "x", 1), 0);
  EXPECT_NE(ftruncate(program->get(), 0), 0);
  EXPECT_NE(fcntl(program->get(), F_ADD_SEALS, 0), 0);
}

size_t CountFds(pid_t pid) {
  return os::ListDir(AT_FDCWD, absl::StrCat("/proc/", pid, "/fd")).value().size();
}

// Packets of every size with and without fds, valid headers with wild fields. The seed is in the
// trace of a failure.
TEST_F(LauncherTest, GarbageEndsItsConnectionAndNothingElse) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.Run();
  const size_t fds_before = CountFds(c.launched().shim_pid);
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  const auto some_file = os::Open("/dev/null", O_RDWR);
  for (int i = 0; i < 2000; ++i) {
    const auto connection = Connect(host_->launcher().RunDir(c.id()), Soon());
    ASSERT_TRUE(connection.ok()) << connection.status();
    std::string packet(random() % 3 == 0 ? random() % 4096 : sizeof(protocol::Request), '\0');
    for (char& byte : packet) byte = static_cast<char>(random());
    if (random() % 2 == 0 && packet.size() == sizeof(protocol::Request)) {
      protocol::Request request{};
      memcpy(&request, packet.data(), sizeof request);
      request.version = protocol::kVersion;
      request.op = random() % 12;
      // Those that may end the container by right.
      if (request.op == static_cast<uint32_t>(protocol::Op::kSignal) ||
          request.op == static_cast<uint32_t>(protocol::Op::kKillAll)) {
        request.op = 0;
      }
      memcpy(packet.data(), &request, sizeof request);
    }
    iovec data{packet.data(), packet.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (const size_t count = random() % 9; count > 0) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(count * sizeof(int));
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(count * sizeof(int));
      int* fds = reinterpret_cast<int*>(CMSG_DATA(header));
      for (size_t f = 0; f < count; ++f) fds[f] = some_file->get();
    }
    (void)sendmsg(connection->get(), &message, MSG_NOSIGNAL);  // may be hung up on, rightly
  }
  EXPECT_TRUE(testing::Eventually(
      [&] {
        const auto state = c.client().State(Soon());
        return state.ok() && state->phase == ShimPhase::kRunning &&
               CountFds(c.launched().shim_pid) <= fds_before;
      },
      absl::Seconds(10)))
      << fds_before << " fds before, " << CountFds(c.launched().shim_pid) << " after";
  EXPECT_EQ(c.Exec("echo well"), "well\n");
}

TEST_F(LauncherTest, MoreConnectionsThanItServesAreHungUpOn) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.Run();
  std::vector<os::UniqueFd> open;
  absl::Status refused;
  for (int i = 0; i < 400 && refused.ok(); ++i) {
    absl::StatusOr<os::UniqueFd> watch = c.client().Watch(Soon());
    refused = watch.status();
    if (watch.ok()) open.push_back(*std::move(watch));
  }
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_GT(open.size(), 256U);
  open.clear();
  EXPECT_TRUE(
      testing::Eventually([&] { return c.client().State(Soon()).ok(); }, absl::Seconds(10)));
}

#if BERTH_STATIC_SHIM
// The budget is 512 KiB for the PSS of one shim alone; what is mapped is at least that.
TEST_F(ShimTest, AShimThatIsIdleGivesBackWhatItsWorkTook) {
  TestContainer c(host_, Shell("seq 1 50000; seq 1 50000 >&2; echo done; sleep 1000"));
  c.Run();
  c.AwaitLine("done");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(c.Exec("echo inside"), "inside\n");
  const std::string path = absl::StrCat("/proc/", c.launched().shim_pid, "/smaps_rollup");
  int64_t kib = 0;
  EXPECT_TRUE(testing::Eventually(
      [&] {
        const absl::StatusOr<std::string> text = os::ReadFile(path, 4096);
        const size_t at = text.value_or("").find("Rss:");
        if (at == std::string::npos) return false;
        kib = atoll(text->c_str() + at + 4);
        return kib > 0 && kib <= 512;
      },
      absl::Seconds(20)))
      << kib << " KiB";
}
#endif

}  // namespace
}  // namespace berth::shim
