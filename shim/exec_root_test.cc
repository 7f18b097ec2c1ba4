// Execs into a running container.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "shim/connection.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

class ExecTest : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    container_ =
        std::make_unique<TestContainer>(host_, std::vector<std::string>{"/bin/sleep", "1000"});
    container_->Run();
  }
  void TearDown() override {
    container_.reset();
    ShimTest::TearDown();
  }

  static ExecOptions Options(const std::string& script) {
    ExecOptions options;
    options.args = Shell(script);
    options.timeout = absl::Seconds(20);
    return options;
  }
  std::string GroupDir() const { return host_->cgroups().v2_root() + container_->group(); }
  std::vector<std::string> ExecGroups() const {
    const auto dir = os::Open(GroupDir(), O_RDONLY | O_DIRECTORY);
    return os::ListSubdirectories(dir->get()).value();
  }

  std::unique_ptr<TestContainer> container_;
};

TEST_F(ExecTest, OutputErrorAndCodeComeBack) {
  const absl::StatusOr<ExecOutput> output =
      container_->client().ExecSync(Options("echo out; echo err >&2; exit 7"));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, 7);
  EXPECT_EQ(output->standard_output, "out\n");
  EXPECT_EQ(output->standard_error, "err\n");
  EXPECT_THAT(ExecGroups(), SizeIs(0));
}

TEST_F(ExecTest, ArgumentsArriveAsTheyAre) {
  ExecOptions options;
  options.args = {"/bin/echo", "", "a b", "\xff\n", std::string(100000, 'x')};
  const absl::StatusOr<ExecOutput> output = container_->client().ExecSync(options);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->standard_output, absl::StrCat(" a b \xff\n ", std::string(100000, 'x'), "\n"));
}

TEST_F(ExecTest, ProcessIsInTheContainersNamespacesAndSeesItsInit) {
  EXPECT_EQ(container_->Exec("cat /proc/1/comm; readlink /proc/self/ns/pid >&2"), "sleep\n");
}

TEST_F(ExecTest, DeathBySignalIs128AndItsNumber) {
  const absl::StatusOr<ExecOutput> output = container_->client().ExecSync(Options("kill -9 $$"));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, 137);
}

TEST_F(ExecTest, MissingProgramIsNamedWithItsErrno) {
  ExecOptions options;
  options.args = {"/bin/nothing"};
  const absl::Status status = container_->client().ExecSync(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              ::testing::EndsWith("exec /bin/nothing: No such file or directory"));
  EXPECT_EQ(container_->client().ExecSync(ExecOptions{}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ExecTest, TimeoutKillsGrandchildrenToo) {
  ExecOptions options = Options("(sleep 1000 &) ; sleep 1000 & sleep 1000");
  options.timeout = absl::Milliseconds(300);
  const absl::Status status = container_->client().ExecSync(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(container_->Pids(), ElementsAre(container_->launched().init_pid));
  EXPECT_THAT(ExecGroups(), SizeIs(0));
}

TEST_F(ExecTest, ClientThatHangsUpEndsItsExec) {
  const auto arguments = MakeArguments({"/bin/sleep", "1000"});
  ASSERT_TRUE(arguments.ok());
  const auto null = os::Open("/dev/null", O_WRONLY);
  {
    const auto connection = Connect(host_->launcher().RunDir(container_->id()), Soon());
    ASSERT_TRUE(connection.ok()) << connection.status();
    ASSERT_TRUE(SendRequest(connection->get(), MakeRequest(protocol::Op::kExec, 2),
                            {arguments->get(), null->get(), null->get()})
                    .ok());
    ASSERT_TRUE(
        testing::Eventually([&] { return container_->Pids().size() == 2; }, absl::Seconds(10)));
  }
  EXPECT_TRUE(
      testing::Eventually([&] { return container_->Pids().size() == 1; }, absl::Seconds(10)));
}

TEST_F(ExecTest, ACancelledCallReturnsAndEndsItsExec) {
  ExecOptions options = Options("sleep 1000 & sleep 1000");
  options.timeout = absl::InfiniteDuration();
  Cancel cancel;
  options.cancel = &cancel;
  absl::Status status;
  std::thread thread([&] { status = container_->client().ExecSync(options).status(); });
  EXPECT_TRUE(
      testing::Eventually([&] { return container_->Pids().size() >= 3; }, absl::Seconds(10)));
  cancel.Set();
  thread.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  EXPECT_TRUE(
      testing::Eventually([&] { return container_->Pids().size() == 1; }, absl::Seconds(10)));
}

TEST_F(ExecTest, GrandchildThatHoldsThePipeDoesNotHoldTheCall) {
  ExecOptions options = Options("sleep 1000 & echo before");
  options.drain_limit = absl::Milliseconds(50);
  const absl::StatusOr<ExecOutput> output = container_->client().ExecSync(options);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, 0);
  EXPECT_EQ(output->standard_output, "before\n");
  // It lives on, in its group; once it has ended a later exec takes the group away.
  ASSERT_THAT(ExecGroups(), SizeIs(1));
  ASSERT_THAT(container_->Pids(), SizeIs(2));
  for (pid_t pid : container_->Pids()) {
    if (pid != container_->launched().init_pid) ASSERT_EQ(kill(pid, SIGKILL), 0);
  }
  EXPECT_TRUE(testing::Eventually(
      [&] {
        (void)container_->Exec("true");
        return ExecGroups().empty();
      },
      absl::Seconds(10)));
}

TEST_F(ExecTest, OutputBeyondTheLimitIsReadAndDropped) {
  const absl::StatusOr<ExecOutput> output =
      container_->client().ExecSync(Options("yes | head -c 20000000; yes | head -c 1000 >&2"));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, 0);
  EXPECT_EQ(output->standard_output.size(), size_t{16} << 20);
  EXPECT_EQ(output->standard_error.size(), 1000U);
}

TEST_F(ExecTest, ManyAtOnceGetTheirOwnAnswers) {
  std::vector<std::thread> threads;
  threads.reserve(32);
  std::vector<absl::StatusOr<ExecOutput>> outputs(32, absl::UnknownError("not run"));
  for (int i = 0; i < 32; ++i) {
    threads.emplace_back([&, i] {
      outputs[i] = container_->client().ExecSync(Options(absl::StrCat("echo ", i, "; exit ", i)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 32; ++i) {
    ASSERT_TRUE(outputs[i].ok()) << outputs[i].status();
    EXPECT_EQ(outputs[i]->exit_code, i);
    EXPECT_EQ(outputs[i]->standard_output, absl::StrCat(i, "\n"));
  }
}

TEST_F(ExecTest, OneMoreThanTheBoundIsRefusedAndTheRestGoesOn) {
  const auto arguments = MakeArguments({"/bin/sleep", "1000"});
  const auto null = os::Open("/dev/null", O_WRONLY);
  std::vector<os::UniqueFd> connections;
  const auto ask = [&] {
    auto connection = Connect(host_->launcher().RunDir(container_->id()), Soon());
    ASSERT_TRUE(connection.ok()) << connection.status();
    ASSERT_TRUE(SendRequest(connection->get(), MakeRequest(protocol::Op::kExec, 2),
                            {arguments->get(), null->get(), null->get()})
                    .ok());
    connections.push_back(*std::move(connection));
  };
  for (int i = 0; i < 257; ++i) ask();
  const auto reply = ReceiveReply(connections.back().get(), protocol::Op::kExec, Soon());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(StatusOf(*reply).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(container_->client().State(Soon())->phase, ShimPhase::kRunning);
  EXPECT_THAT(container_->Pids(), SizeIs(257));
}

TEST_F(ExecTest, EndOfTheContainerAnswersTheExec) {
  absl::StatusOr<ExecOutput> output = absl::UnknownError("not run");
  std::thread thread([&] { output = container_->client().ExecSync(Options("sleep 1000")); });
  EXPECT_TRUE(
      testing::Eventually([&] { return container_->Pids().size() >= 2; }, absl::Seconds(10)));
  EXPECT_TRUE(container_->client().Signal(SIGKILL, Soon()).ok());
  thread.join();
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, 137);
  EXPECT_EQ(container_->AwaitExit().exit_code, 137);
}

TEST_F(ExecTest, BeforeStartAndAfterTheEndItIsRefused) {
  TestContainer created(host_, {"/bin/true"});
  ASSERT_TRUE(created.Create().ok());
  EXPECT_EQ(created.client().ExecSync(Options("true")).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(container_->client().KillAll(Soon()).ok());
  (void)container_->AwaitExit();
  const absl::Status late = container_->client().ExecSync(Options("true")).status();
  EXPECT_THAT(late.code(), ::testing::AnyOf(absl::StatusCode::kFailedPrecondition,
                                            absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace berth::shim
