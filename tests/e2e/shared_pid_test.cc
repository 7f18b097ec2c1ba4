// Pods whose containers share a PID namespace: the reaping init, and what its end means.
#include <signal.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "tests/e2e/e2e.h"

namespace berth::testing {
namespace {

class SharedPid : public E2e {
 protected:
  cri::PodSandboxConfig SharedPod(const std::string& name = "pod") {
    cri::PodSandboxConfig config = PodConfig(name);
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
        cri::POD);
    return config;
  }
  cri::ContainerConfig Shared(const std::string& script, const std::string& name = "main") {
    return WithPid(script, name, cri::POD);
  }
  cri::ContainerConfig WithPid(const std::string& script, const std::string& name,
                               cri::NamespaceMode mode) {
    cri::ContainerConfig config = ContainerConfig(script, name);
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(mode);
    return config;
  }
  std::string StartIn(const std::string& pod, const cri::ContainerConfig& config) {
    std::string id = Create(pod, config);
    Start(id);
    return id;
  }
  // Of the pod's init: the one process in its cgroup leaf.
  pid_t InitOf(const std::string& pod) {
    for (const char* hierarchy : {"memory/", "unified/", ""}) {
      absl::StatusOr<std::string> pids =
          os::ReadFile(absl::StrCat("/sys/fs/cgroup/", hierarchy, daemon().cgroup_root(), "/", pod,
                                    "/init-", pod, "/cgroup.procs"),
                       4096);
      pid_t pid = 0;
      if (pids.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*pids), &pid)) return pid;
    }
    return -1;
  }
  cri::PodSandboxState PodState(const std::string& pod) {
    cri::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(pod);
    cri::PodSandboxStatusResponse response;
    EXPECT_TRUE(
        runtime_->PodSandboxStatus(Within(absl::Seconds(10)).get(), request, &response).ok());
    return response.status().state();
  }
  void Restart() {
    daemon().Start();
    Reconnect();
  }
};

TEST_F(SharedPid, ContainersSeeEachOtherUnderTheInit) {
  const std::string pod = RunPod(SharedPod());
  const std::string a = StartIn(pod, Shared("exec sleep 1111", "a"));
  const std::string b = StartIn(pod, Shared("exec sleep 2222", "b"));
  EXPECT_EQ(Shell(a, "cat /proc/1/comm"), "berth-init\n");
  EXPECT_EQ(Shell(b, "ps -o args | grep -c '^sleep [12]'"), "2\n");
  // A signal from one to the other, as sidecars send it.
  Shell(a, "kill -TERM $(ps -o pid,args | awk '$2 == \"sleep\" && $3 == \"2222\" {print $1}')");
  EXPECT_EQ(WaitExit(b).exit_code(), 143);
  EXPECT_EQ(Status(a).state(), cri::CONTAINER_RUNNING);
}

TEST_F(SharedPid, TheModeIsThatOfTheRequestAndByDefaultThePods) {
  const std::string pod = RunPod(SharedPod());
  cri::ContainerConfig silent = ContainerConfig("exec sleep 1000", "silent");
  silent.mutable_linux()->mutable_security_context()->clear_namespace_options();
  const std::string joins = StartIn(pod, silent);
  const std::string own = StartIn(pod, WithPid("exec sleep 1000", "own", cri::CONTAINER));
  const std::string node = StartIn(pod, WithPid("exec sleep 1000", "node", cri::NODE));
  EXPECT_EQ(Shell(joins, "cat /proc/1/comm"), "berth-init\n");
  EXPECT_EQ(Shell(own, "cat /proc/1/comm"), "sleep\n");
  EXPECT_EQ(Shell(node, absl::StrCat("cat /proc/", daemon().pid(), "/comm")), "berthd\n");
}

TEST_F(SharedPid, AContainerCannotJoinWhatThePodDoesNotShare) {
  const std::string pod = RunPod(PodConfig());
  EXPECT_EQ(InitOf(pod), -1);
  EXPECT_THAT(TryCreate(pod, Shared("true"), PodConfig(), nullptr),
              StatusIs(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("pid: POD")));
}

TEST_F(SharedPid, OrphansOfAContainerAreReapedAndDieWithIt) {
  const std::string pod = RunPod(SharedPod());
  const std::string stays = StartIn(pod, Shared("exec sleep 1000", "stays"));
  const std::string ends =
      StartIn(pod, Shared("for i in 1 2 3 4 5 6 7 8 9; do (setsid sleep 0.$i &) ; done; "
                          "setsid sleep 3333 & sleep 1; exit 5",
                          "ends"));
  EXPECT_EQ(WaitExit(ends).exit_code(), 5);
  EXPECT_EQ(Shell(stays, "ps -o args | grep -c '^sleep 333' || true"), "0\n");
  EXPECT_TRUE(Eventually(
      [&] {
        return Shell(stays, "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null || true") == "";
      },
      absl::Seconds(10)));
}

TEST_F(SharedPid, NoContainerCanEndTheInit) {
  const std::string pod = RunPod(SharedPod());
  const std::string id = StartIn(pod, Shared("exec sleep 1000"));
  const pid_t init = InitOf(pod);
  Shell(id, "for s in TERM INT KILL HUP USR1 STOP; do kill -$s 1; done");
  Shell(id, "true");
  EXPECT_EQ(InitOf(pod), init);
  EXPECT_EQ(PodState(pod), cri::SANDBOX_READY);
}

TEST_F(SharedPid, TheEndOfTheInitMakesThePodNotReadyAndEndsItsContainers) {
  const std::string pod = RunPod(SharedPod());
  const std::string joined = StartIn(pod, Shared("exec sleep 1000", "joined"));
  const std::string own = StartIn(pod, WithPid("exec sleep 1000", "own", cri::CONTAINER));
  const pid_t init = InitOf(pod);
  ASSERT_GT(init, 0);
  ASSERT_EQ(kill(init, SIGKILL), 0);
  const cri::ContainerStatus end = WaitExit(joined);
  EXPECT_EQ(end.exit_code(), 137);
  EXPECT_EQ(end.reason(), "Error");
  EXPECT_TRUE(
      Eventually([&] { return PodState(pod) == cri::SANDBOX_NOTREADY; }, absl::Seconds(10)));
  EXPECT_EQ(Status(own).state(), cri::CONTAINER_RUNNING);
  EXPECT_THAT(TryCreate(pod, Shared("true", "late"), SharedPod(), nullptr),
              StatusIs(grpc::StatusCode::FAILED_PRECONDITION, HasSubstr("not ready")));
  StopPod(pod);
  EXPECT_EQ(Status(own).state(), cri::CONTAINER_EXITED);
}

TEST_F(SharedPid, ARestartFindsTheInitThatLivesAndMissesTheOneThatDied) {
  const std::string lives = RunPod(SharedPod("lives"));
  const std::string id = StartIn(lives, Shared("exec sleep 1000"));
  const pid_t init = InitOf(lives);
  const std::string dies = RunPod(SharedPod("dies"));
  const pid_t victim = InitOf(dies);
  ASSERT_TRUE(init > 0 && victim > 0);
  daemon().Kill9();
  ASSERT_EQ(kill(victim, SIGKILL), 0);
  Restart();
  EXPECT_EQ(PodState(lives), cri::SANDBOX_READY);
  EXPECT_EQ(PodState(dies), cri::SANDBOX_NOTREADY);
  EXPECT_EQ(Shell(id, "cat /proc/1/comm"), "berth-init\n");
  StartIn(lives, Shared("exec sleep 1000", "second"));
  // Not this daemon's child, and watched all the same.
  ASSERT_EQ(kill(init, SIGKILL), 0);
  EXPECT_TRUE(
      Eventually([&] { return PodState(lives) == cri::SANDBOX_NOTREADY; }, absl::Seconds(10)));
  EXPECT_EQ(WaitExit(id).exit_code(), 137);
}

TEST_F(SharedPid, StopEndsTheInit) {
  const std::string pod = RunPod(SharedPod());
  StartIn(pod, Shared("trap '' TERM; while :; do sleep 1000; done"));
  const pid_t init = InitOf(pod);
  ASSERT_GT(init, 0);
  StopPod(pod);
  EXPECT_TRUE(os::IsDead(init));
  EXPECT_EQ(InitOf(pod), -1);
}

}  // namespace
}  // namespace berth::testing
