// kill -9 of the daemon, at random and at every failpoint, while containers live and die.
// BERTH_CRASH_ROUNDS (default 6) and BERTH_CRASH_SEED steer it; the seed is printed.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "base/os/file.h"
#include "tests/e2e/e2e.h"
#include "tests/fixtures/registry.h"
#include "tests/images/archive_writer.h"

namespace berth::testing {
namespace {

int FromEnvironment(const char* name, int fallback) {
  const char* text = getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread
  int value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : fallback;
}

class Crash : public E2e {
 protected:
  Daemon::Options DaemonOptions() const override {
    Daemon::Options options;
    options.own_network = true;
    return options;
  }
  void TearDown() override {
    E2e::TearDown();
    std::set<std::string> traces;
    EXPECT_TRUE(Eventually([&] { return (traces = daemon().network().Traces()).empty(); },
                           absl::Seconds(15)))
        << "left of CNI: " << *traces.begin();
  }
  // A container whose namespaces are said as its pod's are.
  cri::ContainerConfig InPod(const cri::PodSandboxConfig& pod, const std::string& script,
                             const std::string& name) const {
    cri::ContainerConfig config = ContainerConfig(script, name);
    *config.mutable_linux()->mutable_security_context()->mutable_namespace_options() =
        pod.linux().security_context().namespace_options();
    return config;
  }
  // With an address and a host port of its own.
  cri::PodSandboxConfig NetworkPod(const std::string& name = "pod") const {
    cri::PodSandboxConfig config = PodConfig(name);
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(
        cri::POD);
    cri::PortMapping* port = config.add_port_mappings();
    port->set_host_port(18080);
    port->set_container_port(8080);
    return config;
  }
  // Pid and start time of the container's first process, by its cgroup.
  std::string FirstProcess(const std::string& pod, const std::string& id) {
    absl::StatusOr<std::string> pids =
        os::ReadFile(absl::StrCat("/sys/fs/cgroup/memory", daemon().cgroup_root(), "/", pod, "/",
                                  id, "/cgroup.procs"),
                     4096);
    if (!pids.ok()) return std::string(pids.status().message());
    // The oldest: pids wrap around, and the file is in their order.
    std::pair<uint64_t, std::string> first = {UINT64_MAX, "gone"};
    for (absl::string_view pid : absl::StrSplit(*pids, '\n', absl::SkipEmpty())) {
      absl::StatusOr<std::string> stat = os::ReadFile(absl::StrCat("/proc/", pid, "/stat"), 4096);
      if (!stat.ok()) continue;
      const std::vector<std::string> fields =
          absl::StrSplit(stat->substr(stat->rfind(')') + 2), ' ');
      uint64_t started = 0;
      if (!absl::SimpleAtoi(fields[19], &started)) continue;
      first = std::min(first, {started, absl::StrCat(pid, "@", started)});
    }
    return first.second;
  }
  void Restart() {
    daemon().Start();
    Reconnect();
  }
  // One life of everything, an image with a layer of its own included, up to whichever step ends
  // the daemon. True when one did.
  bool DiesInALife() {
    const bool failed = !LiveOnce();
    // The layer is deleted after the reply: it goes, or the daemon does. A call that failed may
    // have been told so before the kernel had taken the process down.
    EXPECT_TRUE(Eventually([&] { return daemon().HasDied() || (!failed && TrashIsEmpty()); },
                           absl::Seconds(20)));
    return !daemon().running();
  }
  bool LiveOnce() {
    std::string pod;
    std::string id;
    cri::ExecSyncResponse exec;
    cri::PodSandboxConfig config = NetworkPod();
    // With an init of its own.
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
        cri::POD);
    return TryRunPod(config, &pod).ok() &&
           TryCreate(pod, InPod(config, "sleep 1000", "main"), config, &id).ok() &&
           TryStart(id).ok() && TryExec(id, {"true"}, 5, &exec).ok() && TryUpdate(id).ok() &&
           TryStop(id, 0).ok() && TryRemove(id).ok() && TryRemovePod(pod).ok() &&
           daemon().Ctl({"image", "import", TinyArchive()}).exit_code == 0 &&
           daemon().Ctl({"image", "rm", "crash:test"}).exit_code == 0;
  }
  grpc::Status TryUpdate(const std::string& id) {
    cri::UpdateContainerResourcesRequest request;
    request.set_container_id(id);
    request.mutable_linux()->set_cpu_shares(512);
    request.mutable_linux()->set_memory_limit_in_bytes(256 << 20);
    cri::UpdateContainerResourcesResponse response;
    return runtime_->UpdateContainerResources(Within(absl::Minutes(1)).get(), request, &response);
  }
  // A running container whose shim dies while the daemon is down, and a file to import: the next
  // start has all to do that a start can have.
  bool DiesInRecovery(const std::string& name) {
    daemon().Kill9();
    Restart();
    std::string id;
    const std::string pod = RunPod(PodConfig());
    EXPECT_TRUE(TryCreate(pod, ContainerConfig("sleep 1000"), PodConfig(), &id).ok());
    EXPECT_TRUE(TryStart(id).ok());
    const pid_t shim = ShimOf(id);
    // Another, whose limits are being changed at that moment.
    std::string updated;
    EXPECT_TRUE(
        TryCreate(pod, ContainerConfig("sleep 1000", "updated"), PodConfig(), &updated).ok());
    EXPECT_EQ(daemon().Ctl({"failpoints", "set", "update_resources_after_limits=kill"}).exit_code,
              0);
    EXPECT_FALSE(TryUpdate(updated).ok());
    EXPECT_TRUE(Eventually([&] { return daemon().HasDied(); }, absl::Seconds(20)));
    daemon().Kill9();
    EXPECT_TRUE(shim > 0 && kill(shim, SIGKILL) == 0);
    const std::string file = daemon().import_dir() + "/tiny.tar";
    EXPECT_EQ(rename(TinyArchive().c_str(), file.c_str()), 0);
    const bool died = daemon().DiesAtStart(name + "=kill");
    daemon().Kill9();
    EXPECT_EQ(unlink(file.c_str()), 0);
    return died;
  }
  std::string TinyArchive() {
    std::string path = daemon().dir() + "/tiny.tar";
    unlink(path.c_str());
    absl::StatusOr<os::UniqueFd> file = os::Open(path, O_WRONLY | O_CREAT, 0600);
    EXPECT_TRUE(file.ok()) << file.status();
    test::TestImage image;
    image.names = {"crash:test"};
    image.layers = {test::MakeTar({test::File("tiny", "tiny")})};
    EXPECT_TRUE(os::WriteAll(file->get(), test::DockerArchive({image})).ok());
    return path;
  }
  bool TrashIsEmpty() {
    absl::StatusOr<std::vector<std::string>> trash =
        os::ListDir(AT_FDCWD, daemon().data_dir() + "/trash");
    return trash.ok() && trash->empty();
  }
  // As TryRemovePod: a call that a kill cuts off.
  grpc::Status TryPull(const std::string& name) {
    cri::PullImageRequest request;
    request.mutable_image()->set_image(name);
    cri::PullImageResponse response;
    return images_->PullImage(Within(absl::Minutes(1)).get(), request, &response);
  }
  grpc::Status TryRemoveImage(const std::string& name) {
    cri::RemoveImageRequest request;
    request.mutable_image()->set_image(name);
    cri::RemoveImageResponse response;
    return images_->RemoveImage(Within(absl::Minutes(1)).get(), request, &response);
  }
  grpc::Status TryRemovePod(const std::string& pod) {
    cri::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(pod);
    cri::RemovePodSandboxResponse response;
    return runtime_->RemovePodSandbox(Within(absl::Minutes(1)).get(), request, &response);
  }
  pid_t ShimOf(const std::string& id) {
    absl::StatusOr<std::string> pids =
        os::ReadFile(absl::StrCat("/sys/fs/cgroup/unified", daemon().cgroup_root(), "/shims/", id,
                                  "/cgroup.procs"),
                     4096);
    pid_t pid = 0;
    EXPECT_TRUE(pids.ok() && absl::SimpleAtoi(pids->substr(0, pids->find('\n')), &pid))
        << pids.status();
    return pid;
  }
  void RemoveAll() {
    cri::ListContainersResponse containers;
    ASSERT_TRUE(runtime_->ListContainers(Within(absl::Seconds(10)).get(), {}, &containers).ok());
    for (const cri::Container& c : containers.containers()) {
      EXPECT_NE(c.state(), cri::CONTAINER_UNKNOWN);
    }
    cri::ListPodSandboxResponse pods;
    ASSERT_TRUE(runtime_->ListPodSandbox(Within(absl::Seconds(10)).get(), {}, &pods).ok());
    for (const cri::PodSandbox& pod : pods.items()) RemovePod(pod.id());
    cri::RemoveImageRequest request;
    request.mutable_image()->set_image("crash:test");
    cri::RemoveImageResponse response;
    EXPECT_TRUE(images_->RemoveImage(Within(absl::Seconds(10)).get(), request, &response).ok());
  }
};

// A container whose numbered lines come at about 5 MB/s: 2048 of some 120 bytes, then 20 ms.
constexpr char kWriter[] =
    "pad=$(head -c 110 /dev/zero | tr '\\0' x); n=0; "
    "while :; do i=0; while [ $i -lt 2048 ]; do echo \"$n $pad\"; n=$((n+1)); i=$((i+1)); done; "
    "usleep 20000; done";

// Every line once, in order, nothing torn. Read as a stream: a long run writes gigabytes.
void ExpectCompleteLog(const std::string& path) {
  std::ifstream log(path);
  ASSERT_TRUE(log.is_open()) << path;
  int64_t expected = 0;
  const std::string pad(110, 'x');
  for (std::string line; std::getline(log, line);) {
    const size_t at = line.find(" stdout F ");
    if (at == std::string::npos) {
      // Stop's SIGKILL may cut the very last line.
      ASSERT_TRUE(absl::StrContains(line, " stdout P ")) << line;
      continue;
    }
    ASSERT_EQ(line.substr(at + 10), absl::StrCat(expected, " ", pad)) << "line " << expected;
    ++expected;
  }
  EXPECT_GT(expected, 1000);
  printf("writer: %lld lines complete\n", static_cast<long long>(expected));
}

TEST_F(Crash, RandomKillsLoseNoLineNoExitCodeAndLeaveNothing) {
  const int rounds = FromEnvironment("BERTH_CRASH_ROUNDS", 6);
  const int seed = FromEnvironment("BERTH_CRASH_SEED", static_cast<int>(time(nullptr)));
  const int min_down_ms = FromEnvironment("BERTH_CRASH_MIN_DOWN_MS", 100);
  const int max_down_ms = FromEnvironment("BERTH_CRASH_MAX_DOWN_MS", 1500);
  printf("seed %d, %d rounds\n", seed, rounds);
  std::mt19937 random(static_cast<unsigned>(seed));
  const auto between = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };

  const std::string steady = RunPod(PodConfig());
  const std::string writer = Create(steady, ContainerConfig(kWriter, "writer"));
  Start(writer);
  const std::string sleeper = Create(steady, ContainerConfig("sleep 100000", "sleeper"));
  Start(sleeper);
  const std::string writer_process = FirstProcess(steady, writer);
  const std::string sleeper_process = FirstProcess(steady, sleeper);
  std::vector<std::string> exiting;

  // Images that are pulled and removed all the time; two share a layer.
  const std::string registry_dir = daemon().dir() + "/registry";
  std::unique_ptr<Registry> registry;
  std::vector<std::string> pulled;
  daemon().network().Inside([&] {
    registry = std::make_unique<Registry>(Registry::Options{registry_dir});
    for (int i = 0; i < 2; ++i) {
      test::TestImage image;
      image.layers = {test::MakeTar({test::File("base", std::string(4 << 20, 'b'))}),
                      test::MakeTar({test::File("top", absl::StrCat(i))})};
      registry->Push(absl::StrCat("churn:", i), image);
      pulled.push_back(absl::StrCat(registry->address(), "/churn:", i));
    }
  });

  for (int round = 0; round < rounds; ++round) {
    // One that exits while the daemon is down, started before the kill.
    const std::string late =
        Create(steady, ContainerConfig(absl::StrCat("usleep ", between(1, 900) * 1000, "; exit 37"),
                                       absl::StrCat("exit-", round)));
    Start(late);
    exiting.push_back(late);
    std::atomic<bool> stop{false};
    std::thread churn([&] {
      for (int i = 0; !stop.load(); ++i) {
        const std::string name = absl::StrCat("churn-", round, "-", i);
        const cri::PodSandboxConfig config = i % 3 == 2 ? PodConfig(name) : NetworkPod(name);
        std::string pod;
        std::string id;
        if (!TryRunPod(config, &pod).ok()) return;
        if (!TryCreate(pod, InPod(config, "sleep 100", "c"), config, &id).ok()) return;
        if (!TryStart(id).ok()) return;
        if (!TryStop(id, 0).ok()) return;
        if (!TryRemovePod(pod).ok()) return;
      }
    });
    std::thread pulls([&] {
      while (!stop.load()) {
        for (const std::string& name : pulled) {
          if (!TryPull(name).ok() || !TryRemoveImage(name).ok()) return;
        }
      }
    });
    (void)poll(nullptr, 0, between(5, 400));  // the random moment is the point
    daemon().Kill9();
    stop = true;
    churn.join();
    pulls.join();
    (void)poll(nullptr, 0, between(min_down_ms, max_down_ms));  // down
    Restart();
    EXPECT_EQ(FirstProcess(steady, writer), writer_process);
    EXPECT_EQ(FirstProcess(steady, sleeper), sleeper_process);
    EXPECT_EQ(Status(writer).state(), cri::CONTAINER_RUNNING);
    // What churn left is listed or gone, and goes.
    cri::ListPodSandboxResponse pods;
    ASSERT_TRUE(runtime_->ListPodSandbox(Within(absl::Seconds(10)).get(), {}, &pods).ok());
    for (const cri::PodSandbox& pod : pods.items()) {
      if (pod.id() != steady) RemovePod(pod.id());
    }
  }
  for (const std::string& id : exiting) {
    EXPECT_EQ(WaitExit(id).exit_code(), 37) << id;
    Remove(id);
  }
  // Whatever was left half-pulled, the next pull works.
  for (const std::string& name : pulled) {
    const grpc::Status status = TryPull(name);
    EXPECT_TRUE(status.ok()) << status.error_message() << "\nafter " << registry->Requests().size()
                             << " requests";
    EXPECT_TRUE(TryRemoveImage(name).ok());
  }
  registry.reset();
  EXPECT_TRUE(os::RemoveTree(AT_FDCWD, registry_dir).ok());
  Shell(sleeper, "true");
  Stop(writer);
  ExpectCompleteLog(LogPath("writer"));
}

TEST_F(Crash, AKilledShimEndsItsContainerWithAReasonOfItsOwn) {
  const auto [pod, id] = RunContainer(ContainerConfig("sleep 1000"));
  const pid_t shim = ShimOf(id);
  ASSERT_TRUE(shim > 0 && kill(shim, SIGKILL) == 0);
  const cri::ContainerStatus status = WaitExit(id);
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_EQ(status.reason(), "ShimLost");
  EXPECT_TRUE(Eventually(
      [&, pod = pod, id = id] { return FirstProcess(pod, id).find('@') == std::string::npos; },
      absl::Seconds(10)));
}

TEST_F(Crash, AKillAtEveryFailpointLeavesACleanState) {
  // The names come from the daemon itself: a new failpoint is covered the day it is added.
  const Output list = daemon().Ctl({"failpoints", "list"});
  ASSERT_EQ(list.exit_code, 0) << list.err;
  const std::vector<std::string> names = absl::StrSplit(list.out, '\n', absl::SkipWhitespace());
  ASSERT_GT(names.size(), 10u);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const Output set = daemon().Ctl({"failpoints", "set", name + "=kill"});
    ASSERT_EQ(set.exit_code, 0) << set.err;
    // Not on the way of a life: then on that of a start after a crash.
    if (!DiesInALife()) EXPECT_TRUE(DiesInRecovery(name)) << "the failpoint never fired";
    Restart();
    // kubelet's next attempt works, whatever was left half-made.
    cri::PodSandboxConfig next = PodConfig();
    next.mutable_metadata()->set_attempt(1);
    std::string fresh;
    const grpc::Status created =
        TryCreate(RunPod(next), ContainerConfig("sleep 1000"), next, &fresh);
    EXPECT_TRUE(created.ok()) << created.error_message();
    RemoveAll();
  }
}

}  // namespace
}  // namespace berth::testing
