// Runtime over the real kernel, launcher and shims; images are a busybox layer made here.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "sandbox/runtime.h"
#include "sandbox/testing/fakes.h"
#include "tests/fixtures/leak.h"

namespace berth::sandbox {
namespace {

using ::testing::HasSubstr;
using testing::World;

class RuntimeRootTest : public ::testing::Test {
 protected:
  RuntimeRootTest()
      : tag_(absl::StrCat("berth-test-", getpid())),
        dir_(absl::StrCat("/tmp/", tag_, "-runtime")) {}

  void SetUp() override {
    berth::testing::BecomeSubreaper();
    MakeLayer();
    options_.data_dir = dir_ + "/data";
    options_.run_dir = dir_ + "/run";
    options_.netns_dir = dir_ + "/netns";
    options_.cgroup_root = "/" + tag_;
    ASSERT_TRUE(os::MakeDirs(options_.run_dir, 0700).ok());
    absl::StatusOr<os::CgroupHost> cgroups = os::CgroupHost::Probe();
    ASSERT_TRUE(cgroups.ok()) << cgroups.status();
    cgroups_ = std::make_unique<os::CgroupHost>(*cgroups);
    shim::Launcher::Options launcher;
    launcher.shim_path = BERTH_SHIM_PATH;
    launcher.data_dir = options_.data_dir;
    launcher.run_dir = options_.run_dir;
    launcher.cgroup_root = options_.cgroup_root;
    absl::StatusOr<std::unique_ptr<shim::Launcher>> opened =
        shim::Launcher::Open(launcher, *cgroups);
    ASSERT_TRUE(opened.ok()) << opened.status();
    launcher_ = *std::move(opened);
    store_ = store::MakeMemoryStore();
    Restart();
    leaks_ = std::make_unique<berth::testing::LeakCheck>(
        berth::testing::LeakScope{tag_, {options_.data_dir, options_.run_dir}, {}, "", getpid()});
  }

  void TearDown() override {
    const auto pods = runtime_->ListPodSandbox({});
    ASSERT_TRUE(pods.ok());
    for (const cri::PodSandbox& pod : pods->items()) Remove(pod.id());
    leaks_->Expect();
    EXPECT_EQ(store_->Load(kContainerKind)->size(), 0u);
    EXPECT_EQ(store_->Load(kSandboxKind)->size(), 0u);
    runtime_.reset();
    launcher_.reset();
    EXPECT_TRUE(os::PinTable::Remove(options_.run_dir).ok());
    EXPECT_TRUE(cgroups_->Remove("/" + tag_, Deadline::After(absl::Seconds(10))).ok());
    EXPECT_TRUE(os::RemoveTree(AT_FDCWD, dir_).ok());
  }

  // The daemon dies and is started again.
  void Restart() {
    runtime_.reset();
    absl::StatusOr<std::unique_ptr<Runtime>> runtime =
        Runtime::Start(options_, *cgroups_, store_.get(), &images_, launcher_.get(), &network_);
    ASSERT_TRUE(runtime.ok()) << runtime.status();
    runtime_ = *std::move(runtime);
  }

  void MakeLayer() {
    const Digest layer = *Digest::FromSha256Hex(std::string(64, 'c'));
    const std::string root = absl::StrCat(dir_, "/data/layers/", layer.hex());
    for (const char* sub : {"bin", "etc", "tmp"}) {
      ASSERT_TRUE(os::MakeDirs(absl::StrCat(root, "/", sub), 0755).ok());
    }
    std::filesystem::copy_file("/bin/busybox", root + "/bin/busybox");
    for (const char* applet : {"sh", "sleep", "echo", "cat", "id", "hostname", "touch", "ls"}) {
      ASSERT_EQ(symlink("busybox", absl::StrCat(root, "/bin/", applet).c_str()), 0);
    }
    image::Image image{*Digest::FromSha256Hex(std::string(64, 'a'))};
    image.repo_tags = {"docker.io/library/busybox:latest"};
    image.size = 1;
    image.layers = {layer};
    images_.Put(std::move(image));
  }

  std::string Run(const cri::PodSandboxConfig& config) {
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = config;
    const auto response = runtime_->RunPodSandbox(request);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? response->pod_sandbox_id() : "";
  }
  cri::PodSandboxConfig PodConfig() {
    cri::PodSandboxConfig config = World::PodConfig("pod");
    config.set_hostname("berthed");
    config.set_log_directory(dir_ + "/logs");
    return config;
  }
  static cri::ContainerConfig Shell(const std::string& name, const std::string& script) {
    cri::ContainerConfig config = World::ContainerConfig(name);
    config.set_log_path(name + ".log");
    for (const std::string& word : {std::string("/bin/sh"), std::string("-c"), script}) {
      config.add_command(word);
    }
    return config;
  }
  absl::StatusOr<std::string> Create(const std::string& pod, const cri::ContainerConfig& config) {
    cri::CreateContainerRequest request;
    request.set_pod_sandbox_id(pod);
    *request.mutable_config() = config;
    const auto response = runtime_->CreateContainer(request);
    if (!response.ok()) return response.status();
    return response->container_id();
  }
  absl::Status Start(const std::string& id) {
    cri::StartContainerRequest request;
    request.set_container_id(id);
    return runtime_->StartContainer(request);
  }
  std::string CreateAndStart(const std::string& pod, const cri::ContainerConfig& config) {
    const absl::StatusOr<std::string> id = Create(pod, config);
    EXPECT_TRUE(id.ok()) << id.status();
    if (!id.ok()) return "";
    const absl::Status started = Start(*id);
    EXPECT_TRUE(started.ok()) << started;
    return *id;
  }
  absl::Status Stop(const std::string& id, int64_t timeout) {
    cri::StopContainerRequest request;
    request.set_container_id(id);
    request.set_timeout(timeout);
    return runtime_->StopContainer(request);
  }
  void Remove(const std::string& pod) {
    cri::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(pod);
    const absl::Status removed = runtime_->RemovePodSandbox(request);
    EXPECT_TRUE(removed.ok()) << removed;
  }
  cri::ContainerStatusResponse Status(const std::string& id) {
    cri::ContainerStatusRequest request;
    request.set_container_id(id);
    request.set_verbose(true);
    const auto response = runtime_->ContainerStatus(request);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.value_or(cri::ContainerStatusResponse());
  }
  bool AwaitExited(const std::string& id) {
    return berth::testing::Eventually(
        [&] { return Status(id).status().state() == cri::CONTAINER_EXITED; }, absl::Seconds(20));
  }
  std::string Exec(const std::string& id, const std::string& script) {
    cri::ExecSyncRequest request;
    request.set_container_id(id);
    for (const std::string& word : {std::string("/bin/sh"), std::string("-c"), script}) {
      request.add_cmd(word);
    }
    request.set_timeout(10);
    const auto response = runtime_->ExecSync(request, Cancel());
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? response->stdout() : "";
  }
  std::string Log(const std::string& name) {
    return os::ReadFile(absl::StrCat(dir_, "/logs/", name, ".log"), 1 << 20).value_or("");
  }

  const std::string tag_;
  const std::string dir_;
  RuntimeOptions options_;
  testing::FakeImages images_;
  testing::FakeNetwork network_;
  std::unique_ptr<os::CgroupHost> cgroups_;
  std::unique_ptr<shim::Launcher> launcher_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<berth::testing::LeakCheck> leaks_;
};

TEST_F(RuntimeRootTest, APodRunsLogsExecsStopsAndIsGone) {
  const std::string pod = Run(PodConfig());
  const std::string id =
      CreateAndStart(pod, Shell("main", "hostname; cat /etc/hostname; exec sleep 1000"));
  EXPECT_EQ(Status(id).status().state(), cri::CONTAINER_RUNNING);
  EXPECT_EQ(Exec(id, "echo $HOSTNAME; ls -d /dev/shm /proc/1 /sys/fs/cgroup"),
            "berthed\n/dev/shm\n/proc/1\n/sys/fs/cgroup\n");
  ASSERT_TRUE(berth::testing::Eventually(
      [&] { return absl::StrContains(Log("main"), "stdout F berthed\n"); }, absl::Seconds(10)));
  // Its first process is PID 1 and has no handler: the grace runs out.
  EXPECT_TRUE(Stop(id, 1).ok());
  EXPECT_EQ(Status(id).status().exit_code(), 137);
}

TEST_F(RuntimeRootTest, TheStopSignalIsHeardAndItsExitCodeKept) {
  const std::string pod = Run(PodConfig());
  const std::string id = CreateAndStart(
      pod, Shell("main", "trap 'exit 7' TERM; echo ready; while true; do sleep 0.1; done"));
  ASSERT_TRUE(berth::testing::Eventually([&] { return absl::StrContains(Log("main"), "ready"); },
                                         absl::Seconds(10)));
  EXPECT_TRUE(Stop(id, 30).ok());
  EXPECT_EQ(Status(id).status().exit_code(), 7);
  EXPECT_EQ(Status(id).status().reason(), "Error");
}

TEST_F(RuntimeRootTest, ContainersOfAPodShareIpcShmAndHostname) {
  const std::string pod = Run(PodConfig());
  const std::string one = CreateAndStart(pod, Shell("one", "exec sleep 1000"));
  const std::string two = CreateAndStart(pod, Shell("two", "exec sleep 1000"));
  Exec(one, "echo shared > /dev/shm/file");
  EXPECT_EQ(Exec(two, "cat /dev/shm/file; hostname"), "shared\nberthed\n");
  // Processes are each container's own.
  EXPECT_EQ(Exec(one, "echo $(cat /proc/1/cmdline)"), "sleep1000\n");
}

TEST_F(RuntimeRootTest, ACommandThatIsNotThereIsAStartErrorWithItsPath) {
  const std::string pod = Run(PodConfig());
  cri::ContainerConfig config = World::ContainerConfig("main");
  config.add_command("/no/such/program");
  const absl::StatusOr<std::string> id = Create(pod, config);
  ASSERT_TRUE(id.ok()) << id.status();
  const absl::Status started = Start(*id);
  EXPECT_FALSE(started.ok());
  EXPECT_THAT(std::string(started.message()), HasSubstr("/no/such/program"));
  EXPECT_EQ(Status(*id).status().reason(), "StartError");
  EXPECT_EQ(Status(*id).status().exit_code(), 128);
}

TEST_F(RuntimeRootTest, ADaemonThatComesBackFindsWhatRunsAndWhatEnded) {
  const std::string pod = Run(PodConfig());
  const std::string runs = CreateAndStart(pod, Shell("runs", "exec sleep 1000"));
  const std::string ends = CreateAndStart(pod, Shell("ends", "sleep 1; exit 37"));
  const std::string created = Create(pod, Shell("created", "exit 5")).value_or("");
  const std::string pid = Status(runs).info().at("info");
  runtime_.reset();
  // It ends while nobody of ours is there: its shim alone writes this down.
  const std::string exit = launcher_->RunDir(*ContainerId::Parse(ends)) + "/exit";
  ASSERT_TRUE(
      berth::testing::Eventually([&] { return std::filesystem::exists(exit); }, absl::Seconds(20)));
  Restart();
  EXPECT_EQ(Status(runs).status().state(), cri::CONTAINER_RUNNING);
  EXPECT_EQ(Status(runs).info().at("info"), pid);
  EXPECT_EQ(Status(ends).status().exit_code(), 37);
  EXPECT_EQ(Status(created).status().state(), cri::CONTAINER_CREATED);
  EXPECT_TRUE(Start(created).ok());
  ASSERT_TRUE(AwaitExited(created));
  EXPECT_EQ(Status(created).status().exit_code(), 5);
}

// With a PID namespace of its own, and with its pod's, where the kernel does not end it with its
// first process.
TEST_F(RuntimeRootTest, AKilledShimTakesItsContainerAlong) {
  for (const cri::NamespaceMode mode : {cri::CONTAINER, cri::POD}) {
    SCOPED_TRACE(cri::NamespaceMode_Name(mode));
    const auto options = [mode](auto* config) {
      auto* ns = config->mutable_linux()->mutable_security_context()->mutable_namespace_options();
      ns->set_network(cri::NODE);
      ns->set_pid(mode);
    };
    cri::PodSandboxConfig pod_config = PodConfig();
    options(&pod_config);
    const std::string pod = Run(pod_config);
    cri::ContainerConfig config =
        Shell("main", "(sleep 1000 &); sleep 1000 & echo all; exec sleep 1000");
    options(&config);
    const std::string id = CreateAndStart(pod, config);
    const auto stored = ContainerFromStored(store_->Load(kContainerKind)->at(0));
    ASSERT_TRUE(stored.ok());
    const absl::Time killed = absl::Now();
    ASSERT_EQ(kill(stored->shim_pid(), SIGKILL), 0);
    ASSERT_TRUE(AwaitExited(id));
    std::cout << "from the kill of the shim to the recorded end, " << cri::NamespaceMode_Name(mode)
              << ": " << absl::Now() - killed << std::endl;
    EXPECT_EQ(Status(id).status().reason(), "ShimLost");
    EXPECT_EQ(Status(id).status().exit_code(), 137);
    // Recorded after the kill: all of it is dead by then.
    EXPECT_TRUE(os::IsDead(stored->init_pid()));
    EXPECT_TRUE(cgroups_->Pids(stored->cgroups_path())->empty());
    Remove(pod);
  }
}

TEST_F(RuntimeRootTest, AGivenCgroupParentIsUsedAndMadeAncestorsGoAgain) {
  cri::PodSandboxConfig config = PodConfig();
  const std::string parent = absl::StrCat("/", tag_, "/kube/pod1");
  config.mutable_linux()->set_cgroup_parent(parent);
  const std::string pod = Run(config);
  cri::ContainerConfig container = Shell("main", "exec sleep 1000");
  container.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(64 << 20);
  container.mutable_linux()->mutable_resources()->set_cpu_shares(512);
  const std::string id = CreateAndStart(pod, container);
  const absl::StatusOr<std::vector<pid_t>> pids = cgroups_->Pids(parent + "/" + id);
  ASSERT_TRUE(pids.ok()) << pids.status();
  EXPECT_GE(pids->size(), 1u);
}

TEST_F(RuntimeRootTest, BindMountsFollowTheHostAndAMissingSourceIsMade) {
  const std::string pod = Run(PodConfig());
  cri::ContainerConfig config = Shell("main", "exec sleep 1000");
  cri::Mount* mount = config.add_mounts();
  mount->set_container_path("/vol/deep");
  mount->set_host_path(dir_ + "/volume");
  cri::Mount* readonly = config.add_mounts();
  readonly->set_container_path("/ro");
  readonly->set_host_path(dir_ + "/volume");
  readonly->set_readonly(true);
  const std::string id = CreateAndStart(pod, config);
  Exec(id, "echo here > /vol/deep/file");
  EXPECT_EQ(os::ReadFile(dir_ + "/volume/file", 100).value_or(""), "here\n");
  EXPECT_EQ(Exec(id, "cat /ro/file; touch /ro/x || echo refused"), "here\nrefused\n");
}

TEST_F(RuntimeRootTest, AUserThatDoesNotResolveIsInvalidAndLeavesNothing) {
  const std::string pod = Run(PodConfig());
  cri::ContainerConfig config = Shell("main", "true");
  config.mutable_linux()->mutable_security_context()->set_run_as_username("ghost");
  EXPECT_TRUE(absl::IsInvalidArgument(Create(pod, config).status()));
  config.mutable_linux()->mutable_security_context()->clear_run_as_username();
  EXPECT_EQ(runtime_->ListContainers({})->containers_size(), 0);
}

TEST_F(RuntimeRootTest, AWorkingDirectoryThatIsAFileIsNamedInTheError) {
  const std::string pod = Run(PodConfig());
  cri::ContainerConfig config = Shell("main", "true");
  config.set_working_dir("/bin/busybox");
  const absl::StatusOr<std::string> id = Create(pod, config);
  const absl::Status failed = id.ok() ? Start(*id) : id.status();
  EXPECT_FALSE(failed.ok());
  EXPECT_THAT(std::string(failed.message()), HasSubstr("/bin/busybox"));
}

}  // namespace
}  // namespace berth::sandbox
