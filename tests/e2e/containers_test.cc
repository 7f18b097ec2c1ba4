// Containers: life cycle, log, exec, filters, as CRI clients see them.
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "base/os/file.h"
#include "tests/e2e/e2e.h"

namespace berth::testing {
namespace {

using ::testing::ElementsAre;

class Containers : public E2e {};

TEST_F(Containers, LiveThroughCreatedRunningExitedWithTheirExitCode) {
  const std::string pod = RunPod(PodConfig());
  const std::string id = Create(pod, ContainerConfig("exit 37"));
  cri::ContainerStatus status = Status(id);
  EXPECT_EQ(status.state(), cri::CONTAINER_CREATED);
  EXPECT_GT(status.created_at(), 0);
  EXPECT_EQ(status.started_at(), 0);
  EXPECT_EQ(status.metadata().name(), "main");
  EXPECT_EQ(status.image().image(), "docker.io/library/busybox:test");
  EXPECT_TRUE(absl::StartsWith(status.image_id(), "sha256:")) << status.image_id();
  EXPECT_NE(status.image_ref(), "");
  EXPECT_EQ(status.log_path(), LogPath());
  Start(id);
  status = WaitExit(id);
  EXPECT_EQ(status.exit_code(), 37);
  EXPECT_EQ(status.reason(), "Error");
  EXPECT_GE(status.started_at(), status.created_at());
  EXPECT_GE(status.finished_at(), status.started_at());
  EXPECT_THAT(TryStart(id), StatusIs(grpc::StatusCode::FAILED_PRECONDITION, HasSubstr(id)));
}

TEST_F(Containers, AnExitOfZeroIsCompleted) {
  cri::ContainerStatus status;
  RunScript("true", &status);
  EXPECT_EQ(status.exit_code(), 0);
  EXPECT_EQ(status.reason(), "Completed");
}

TEST_F(Containers, NothingOfTheWorkloadRunsBeforeStart) {
  const std::string pod = RunPod(PodConfig());
  const std::string id = Create(pod, ContainerConfig("echo ran"));
  EXPECT_THAT(LogLines(), ElementsAre());
  Start(id);
  WaitExit(id);
  EXPECT_THAT(LogLines(), ElementsAre("stdout F ran"));
}

TEST_F(Containers, ATerminalIsOneStreamOfTheLog) {
  cri::ContainerConfig config = ContainerConfig(
      "for fd in 0 1 2; do [ -t $fd ] || echo no $fd; done; tty; echo err >&2; echo $TERM; "
      "echo console >/dev/console; printf part");
  config.set_tty(true);
  config.set_stdin(true);
  const auto [pod, id] = RunContainer(config);
  EXPECT_EQ(WaitExit(id).exit_code(), 0);
  EXPECT_THAT(LogLines(), ElementsAre("stdout F /dev/pts/0\r", "stdout F err\r", "stdout F xterm\r",
                                      "stdout F console\r", "stdout P part"));
}

TEST_F(Containers, LogHasBothStreamsInCriFormat) {
  const auto [pod, id] = RunContainer(ContainerConfig("echo out; echo err >&2; printf part"));
  WaitExit(id);
  EXPECT_THAT(LogLines(),
              ::testing::UnorderedElementsAre("stdout F out", "stderr F err", "stdout P part"));
  absl::StatusOr<std::string> text = os::ReadFile(LogPath(), 1 << 20);
  ASSERT_TRUE(text.ok());
  EXPECT_THAT(*text, ::testing::ContainsRegex(
                         "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{9}(Z|[+-][0-9:]{5}) std"));
  struct stat st;
  ASSERT_EQ(stat(LogPath().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0640u);
}

TEST_F(Containers, LongLinesAreCutAt16KiBWithPartialTags) {
  const auto [pod, id] =
      RunContainer(ContainerConfig("head -c 40000 /dev/zero | tr '\\0' x; echo; echo next"));
  WaitExit(id);
  std::string joined;
  for (const std::string& line : LogLines()) {
    ASSERT_LE(line.size(), 16384u + 9);
    if (line == "stdout F next") continue;
    joined += line.substr(9);
    EXPECT_EQ(line.substr(7, 1), joined.size() < 40000 ? "P" : "F");
  }
  EXPECT_EQ(joined, std::string(40000, 'x'));
}

TEST_F(Containers, ReopenContainerLogSwitchesFilesWithoutLosingALine) {
  const std::string script =
      "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; sleep 1000";
  const auto [pod, id] = RunContainer(ContainerConfig(script));
  cri::ReopenContainerLogRequest request;
  request.set_container_id(id);
  cri::ReopenContainerLogResponse response;
  std::vector<std::string> rotated;
  for (int i = 0; i < 10; ++i) {
    rotated.push_back(absl::StrCat(LogPath(), ".", i));
    ASSERT_EQ(rename(LogPath().c_str(), rotated.back().c_str()), 0);
    const grpc::Status status =
        runtime_->ReopenContainerLog(Within(absl::Seconds(10)).get(), request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  rotated.push_back(LogPath());
  std::string all;
  EXPECT_TRUE(Eventually(
      [&] {
        all.clear();
        for (const std::string& file : rotated) {
          absl::StatusOr<std::string> text = os::ReadFile(file, 64 << 20);
          if (text.ok()) all += *text;
        }
        return absl::StrContains(all, " line 19999\n");
      },
      absl::Seconds(30)));
  int expected = 0;
  for (absl::string_view line : absl::StrSplit(all, '\n', absl::SkipEmpty())) {
    ASSERT_TRUE(absl::EndsWith(line, absl::StrCat(" stdout F line ", expected))) << line;
    ++expected;
  }
  EXPECT_EQ(expected, 20000);
  Stop(id);
  ASSERT_EQ(rename(LogPath().c_str(), (LogPath() + ".last").c_str()), 0);
  EXPECT_FALSE(
      runtime_->ReopenContainerLog(Within(absl::Seconds(10)).get(), request, &response).ok());
  struct stat st;
  EXPECT_NE(stat(LogPath().c_str(), &st), 0) << "a container that does not run got a log file";
}

TEST_F(Containers, StopSendsTermThenKillAfterTheGrace) {
  const auto [pod, polite] =
      RunContainer(ContainerConfig("trap 'exit 5' TERM; while :; do sleep 0.1; done", "polite"));
  Shell(polite, "true");
  Stop(polite, 30);
  EXPECT_EQ(WaitExit(polite).exit_code(), 5);
  const std::string deaf =
      Create(pod, ContainerConfig("trap '' TERM; while :; do sleep 0.1; done", "deaf"));
  Start(deaf);
  Shell(deaf, "true");
  Stop(deaf, 1);
  EXPECT_EQ(WaitExit(deaf).exit_code(), 137);
  Stop(deaf, 1);
  EXPECT_TRUE(TryStop(std::string(64, 'a'), 1).ok()) << "unknown is success";
}

TEST_F(Containers, ASecondStopWithAShorterTimeoutShortensTheWait) {
  const auto [pod, id] =
      RunContainer(ContainerConfig("trap 'echo TERM' TERM; while :; do sleep 0.1; done"));
  Shell(id, "true");
  std::thread slow([&, id = id] { EXPECT_TRUE(TryStop(id, 100).ok()); });
  EXPECT_TRUE(Eventually([&] { return !LogLines().empty(); }, absl::Seconds(20)));
  Stop(id, 1);
  slow.join();
  EXPECT_EQ(WaitExit(id).exit_code(), 137);
  EXPECT_THAT(LogLines(), ElementsAre("stdout F TERM")) << "the signal is sent once";
}

TEST_F(Containers, StopSignalComesFromTheRequest) {
  cri::ContainerConfig config = ContainerConfig("trap 'exit 9' USR1; while :; do sleep 0.1; done");
  config.set_stop_signal(cri::SIGNAL_SIGUSR1);
  const auto [pod, id] = RunContainer(config);
  Shell(id, "true");
  Stop(id, 30);
  const cri::ContainerStatus status = WaitExit(id);
  EXPECT_EQ(status.exit_code(), 9);
  EXPECT_EQ(status.stop_signal(), cri::SIGNAL_SIGUSR1);
}

TEST_F(Containers, RemoveForcesARunningOneAndIsIdempotent) {
  const auto [pod, id] = RunContainer(ContainerConfig("sleep 1000"));
  Remove(id);
  Remove(id);
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  cri::ContainerStatusResponse response;
  EXPECT_THAT(runtime_->ContainerStatus(Within(absl::Seconds(10)).get(), request, &response),
              StatusIs(grpc::StatusCode::NOT_FOUND, HasSubstr(id)));
  EXPECT_THAT(TryStart(id), StatusIs(grpc::StatusCode::NOT_FOUND, HasSubstr(id)));
}

TEST_F(Containers, ListFiltersAreAnded) {
  const std::string pod = RunPod(PodConfig());
  cri::ContainerConfig a = ContainerConfig("sleep 1000", "a");
  (*a.mutable_labels())["tier"] = "web";
  const std::string id_a = Create(pod, a);
  const std::string id_b = Create(pod, ContainerConfig("sleep 1000", "b"));
  Start(id_a);
  const auto list = [&](const std::function<void(cri::ContainerFilter*)>& edit) {
    cri::ListContainersRequest request;
    edit(request.mutable_filter());
    cri::ListContainersResponse response;
    EXPECT_TRUE(runtime_->ListContainers(Within(absl::Seconds(10)).get(), request, &response).ok());
    std::set<std::string> ids;
    for (const cri::Container& c : response.containers()) ids.insert(c.id());
    return ids;
  };
  using Ids = std::set<std::string>;
  EXPECT_EQ(list([](auto*) {}), (Ids{id_a, id_b}));
  EXPECT_EQ(list([&](auto* f) { f->set_pod_sandbox_id(pod); }), (Ids{id_a, id_b}));
  EXPECT_EQ(list([&](auto* f) { f->mutable_state()->set_state(cri::CONTAINER_RUNNING); }),
            Ids{id_a});
  EXPECT_EQ(list([&](auto* f) { f->mutable_state()->set_state(cri::CONTAINER_CREATED); }),
            Ids{id_b});
  EXPECT_EQ(list([&](auto* f) { (*f->mutable_label_selector())["tier"] = "web"; }), Ids{id_a});
  EXPECT_EQ(list([&](auto* f) { f->set_id(id_b.substr(0, 12)); }), Ids{id_b});
  EXPECT_EQ(list([&](auto* f) {
              f->set_id(id_b);
              (*f->mutable_label_selector())["tier"] = "web";
            }),
            Ids{});
}

TEST_F(Containers, ExecSyncGivesOutputErrorAndCode) {
  const auto [pod, id] = RunContainer(ContainerConfig("sleep 1000"));
  cri::ExecSyncResponse response;
  ASSERT_TRUE(TryExec(id, {"/bin/sh", "-c", "echo out; echo err >&2; exit 4"}, 10, &response).ok());
  EXPECT_EQ(response.stdout(), "out\n");
  EXPECT_EQ(response.stderr(), "err\n");
  EXPECT_EQ(response.exit_code(), 4);
  // PATH lookup, and a program that is not there.
  ASSERT_TRUE(TryExec(id, {"echo", "found"}, 10, &response).ok());
  EXPECT_EQ(response.stdout(), "found\n");
  const grpc::Status missing = TryExec(id, {"/no/such/program"}, 10, &response);
  EXPECT_FALSE(missing.ok());
  EXPECT_THAT(missing.error_message(), HasSubstr("/no/such/program"));
  EXPECT_THAT(missing.error_message(), HasSubstr("No such file"));
}

TEST_F(Containers, ExecSyncEntersTheContainersNamespacesCgroupAndLimits) {
  const auto [pod, id] = RunContainer(ContainerConfig("sleep 1000"));
  for (const char* ns : {"mnt", "pid", "ipc", "uts", "cgroup", "net"}) {
    EXPECT_EQ(Shell(id, absl::StrCat("readlink /proc/self/ns/", ns)),
              Shell(id, absl::StrCat("readlink /proc/1/ns/", ns)))
        << ns;
  }
  EXPECT_EQ(Shell(id, "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status"),
            Shell(id, "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/1/status"));
  EXPECT_EQ(Shell(id, "grep -v '^0:' /proc/self/cgroup"),
            Shell(id, "grep -v '^0:' /proc/1/cgroup"));
}

TEST_F(Containers, ATimedOutExecIsKilledWithAllItStarted) {
  const auto [pod, id] = RunContainer(ContainerConfig("sleep 1000"));
  cri::ExecSyncResponse response;
  const grpc::Status status =
      TryExec(id, {"/bin/sh", "-c", "sleep 4321 & setsid sleep 4321 & sleep 4321"}, 1, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << status.error_message();
  EXPECT_EQ(Shell(id, "ps | grep -c '[s]leep 4321' || true"), "0\n");
}

TEST_F(Containers, AGrandchildThatKeepsThePipeDoesNotHoldTheExec) {
  const auto [pod, id] = RunContainer(ContainerConfig("sleep 1000"));
  cri::ExecSyncResponse response;
  const Deadline deadline = Deadline::After(absl::Seconds(60));
  ASSERT_TRUE(TryExec(id, {"/bin/sh", "-c", "sleep 600 & echo done"}, 0, &response).ok());
  EXPECT_EQ(response.stdout(), "done\n");
  EXPECT_FALSE(deadline.Expired());
}

TEST_F(Containers, ExecOutputIsCappedAndTheRestDrained) {
  const auto [pod, id] = RunContainer(ContainerConfig("sleep 1000"));
  cri::ExecSyncResponse response;
  const grpc::Status status =
      TryExec(id, {"/bin/sh", "-c", "head -c 40000000 /dev/zero; exit 3"}, 60, &response);
  // gRPC's own limit of the test client is 64 MiB.
  ASSERT_TRUE(status.ok()) << status.error_message();
  // 16 MiB less what the message around it takes: kubelet receives no more than that.
  EXPECT_LE(response.ByteSizeLong(), 16u << 20);
  EXPECT_GT(response.stdout().size(), (16u << 20) - 65536);
  EXPECT_EQ(response.exit_code(), 3);
}

TEST_F(Containers, ManyExecsLeaveNothingBehind) {
  const auto [pod, id] = RunContainer(ContainerConfig("sleep 1000"));
  const LeakSnapshot before = TakeSnapshot(daemon().Scope());
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, id = id, t] {
      for (int i = 0; i < 10; ++i) {
        cri::ExecSyncResponse response;
        const grpc::Status status =
            TryExec(id, {"/bin/sh", "-c", absl::StrCat("exit ", t)}, 30, &response);
        EXPECT_TRUE(status.ok()) << status.error_message();
        EXPECT_EQ(response.exit_code(), t);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // Whatever the test before may still have been taking away then is no matter.
  std::vector<std::string> left;
  (void)Eventually(
      [&] {
        left = Difference(before, TakeSnapshot(daemon().Scope()));
        left.erase(std::remove_if(left.begin(), left.end(),
                                  [](const std::string& line) {
                                    return !absl::StartsWith(line, "+ process ") &&
                                           !absl::StartsWith(line, "+ cgroup ");
                                  }),
                   left.end());
        return left.empty();
      },
      absl::Seconds(10));
  EXPECT_THAT(left, ::testing::IsEmpty());
}

TEST_F(Containers, TwoContainersOfOneImageDoNotSeeEachOthersWrites) {
  const std::string pod = RunPod(PodConfig());
  const std::string one = Create(pod, ContainerConfig("sleep 1000", "one"));
  const std::string two = Create(pod, ContainerConfig("sleep 1000", "two"));
  Start(one);
  Start(two);
  Shell(one, "echo mine > /file; rm /bin/vi");
  EXPECT_EQ(Shell(two, "ls /file /bin/vi 2>/dev/null || true"), "/bin/vi\n");
}

}  // namespace
}  // namespace berth::testing
