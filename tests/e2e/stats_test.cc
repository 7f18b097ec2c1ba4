// Stats of containers and pods, and updates of limits, as CRI clients see them.
#include <fcntl.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/clock.h"
#include "base/os/cgroup.h"
#include "base/os/file.h"
#include "tests/e2e/e2e.h"

namespace berth::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Stats : public E2e {
 protected:
  grpc::Status Try(const std::string& id, cri::ContainerStats* stats) {
    cri::ContainerStatsRequest request;
    request.set_container_id(id);
    cri::ContainerStatsResponse response;
    grpc::Status status =
        runtime_->ContainerStats(Within(absl::Seconds(20)).get(), request, &response);
    *stats = response.stats();
    return status;
  }
  cri::ContainerStats Get(const std::string& id) {
    cri::ContainerStats stats;
    const grpc::Status status = Try(id, &stats);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return stats;
  }
  std::vector<std::string> Listed(const cri::ContainerStatsFilter& filter) {
    cri::ListContainerStatsRequest request;
    *request.mutable_filter() = filter;
    cri::ListContainerStatsResponse response;
    const grpc::Status status =
        runtime_->ListContainerStats(Within(absl::Seconds(20)).get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::vector<std::string> ids;
    for (const cri::ContainerStats& stats : response.stats())
      ids.push_back(stats.attributes().id());
    return ids;
  }
  grpc::Status TryPod(const std::string& id, cri::PodSandboxStats* stats) {
    cri::PodSandboxStatsRequest request;
    request.set_pod_sandbox_id(id);
    cri::PodSandboxStatsResponse response;
    grpc::Status status =
        runtime_->PodSandboxStats(Within(absl::Seconds(20)).get(), request, &response);
    *stats = response.stats();
    return status;
  }
  size_t DaemonFds() {
    const absl::StatusOr<std::vector<std::string>> fds =
        os::ListDir(AT_FDCWD, absl::StrCat("/proc/", daemon().pid(), "/fd"));
    return fds.ok() ? fds->size() : 0;
  }
};

TEST_F(Stats, TheCpuCounterOfABusyContainerRisesAndHasARate) {
  const auto [pod, id] = RunContainer(ContainerConfig("while :; do :; done"));
  const uint64_t first = Get(id).cpu().usage_core_nano_seconds().value();
  EXPECT_TRUE(Eventually(
      [&, id = id] {
        const cri::CpuUsage cpu = Get(id).cpu();
        return cpu.usage_core_nano_seconds().value() > first &&
               cpu.usage_nano_cores().value() > 10'000'000;
      },
      absl::Seconds(60)));
  cri::PodSandboxStats stats;
  ASSERT_TRUE(TryPod(pod, &stats).ok());
  EXPECT_GE(stats.linux().cpu().usage_core_nano_seconds().value(),
            Get(id).cpu().usage_core_nano_seconds().value() / 2);
}

TEST_F(Stats, MemoryThatAContainerHoldsIsSeen) {
  cri::ContainerConfig config =
      ContainerConfig("x=$(head -c 30000000 /dev/zero | tr '\\0' x); while :; do sleep 1; done");
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(256 << 20);
  const auto [pod, id] = RunContainer(config);
  EXPECT_TRUE(Eventually([&, id = id] { return Get(id).memory().rss_bytes().value() > 29'000'000; },
                         absl::Seconds(60)));
  const cri::MemoryUsage memory = Get(id).memory();
  EXPECT_GE(memory.usage_bytes().value(), memory.working_set_bytes().value());
  EXPECT_GE(memory.working_set_bytes().value(), 29'000'000u);
  EXPECT_LE(memory.available_bytes().value(), (256u << 20) - 29'000'000u);
  EXPECT_GT(memory.page_faults().value(), 0u);
  EXPECT_GT(memory.timestamp(), 0);
}

TEST_F(Stats, TheWritableLayerGrowsWithWhatIsWritten) {
  const auto [pod, id] = RunContainer(ContainerConfig("sleep 1000"));
  const cri::FilesystemUsage before = Get(id).writable_layer();
  EXPECT_GT(before.timestamp(), 0);
  EXPECT_EQ(before.fs_id().mountpoint().substr(0, 1), "/");
  Shell(id, "dd if=/dev/zero of=/big bs=1M count=8 && mkdir /a /b /c");
  EXPECT_TRUE(Eventually(
      [&, id = id] {
        const cri::FilesystemUsage now = Get(id).writable_layer();
        return now.used_bytes().value() >= before.used_bytes().value() + (8u << 20) &&
               now.inodes_used().value() >= before.inodes_used().value() + 4;
      },
      absl::Seconds(60)));
}

TEST_F(Stats, ListsHaveRunningContainersOfTheFilter) {
  const std::string pod = RunPod(PodConfig());
  cri::ContainerConfig config = ContainerConfig("sleep 1000", "one");
  (*config.mutable_labels())["app"] = "one";
  (*config.mutable_annotations())["note"] = "kept";
  const std::string one = Create(pod, config);
  Start(one);
  const std::string two = Create(pod, ContainerConfig("sleep 1000", "two"));
  Start(two);
  const std::string created = Create(pod, ContainerConfig("sleep 1000", "created"));
  EXPECT_THAT(Listed({}), ::testing::UnorderedElementsAre(one, two));
  cri::ContainerStatsFilter filter;
  (*filter.mutable_label_selector())["app"] = "one";
  EXPECT_THAT(Listed(filter), ElementsAre(one));
  filter.set_id(two);
  EXPECT_THAT(Listed(filter), IsEmpty());
  filter.clear_label_selector();
  EXPECT_THAT(Listed(filter), ElementsAre(two));
  filter.clear_id();
  filter.set_pod_sandbox_id(pod);
  EXPECT_THAT(Listed(filter), SizeIs(2));
  EXPECT_EQ(Get(one).attributes().annotations().at("note"), "kept");
  EXPECT_TRUE(Get(created).has_cpu()) << "its cgroup is there";
  Stop(one);
  EXPECT_THAT(Listed({}), ElementsAre(two));
  EXPECT_FALSE(Get(one).has_cpu());
  EXPECT_TRUE(Get(one).has_writable_layer());
}

TEST_F(Stats, AbsentIdsAreNotFoundAndEmptyOnesInvalid) {
  cri::ContainerStats stats;
  cri::PodSandboxStats pod_stats;
  const std::string absent(64, '0');
  EXPECT_THAT(Try(absent, &stats), StatusIs(grpc::StatusCode::NOT_FOUND, HasSubstr(absent)));
  EXPECT_THAT(Try("", &stats), StatusIs(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("id")));
  EXPECT_THAT(TryPod(absent, &pod_stats), StatusIs(grpc::StatusCode::NOT_FOUND, HasSubstr(absent)));
  EXPECT_THAT(Listed({}), IsEmpty());
}

TEST_F(Stats, APodHasProcessesContainersAndNoNetworkOnTheHosts) {
  cri::PodSandboxConfig pod_config = PodConfig();
  (*pod_config.mutable_labels())["pod"] = "label";
  const std::string pod = RunPod(pod_config);
  const std::string one = Create(pod, ContainerConfig("sleep 1000 & sleep 1000", "one"));
  const std::string two = Create(pod, ContainerConfig("sleep 1000", "two"));
  Start(one);
  Start(two);
  cri::PodSandboxStats stats;
  EXPECT_TRUE(Eventually(
      [&] {
        return TryPod(pod, &stats).ok() && stats.linux().process().process_count().value() >= 3;
      },
      absl::Seconds(30)))
      << stats.ShortDebugString();
  EXPECT_EQ(stats.attributes().id(), pod);
  EXPECT_EQ(stats.attributes().metadata().name(), "pod");
  EXPECT_EQ(stats.attributes().labels().at("pod"), "label");
  EXPECT_THAT(stats.linux().containers(), SizeIs(2));
  EXPECT_GT(stats.linux().memory().usage_bytes().value(), 0u);
  EXPECT_FALSE(stats.linux().has_network());
  cri::ListPodSandboxStatsRequest request;
  (*request.mutable_filter()->mutable_label_selector())["pod"] = "label";
  cri::ListPodSandboxStatsResponse listed;
  ASSERT_TRUE(
      runtime_->ListPodSandboxStats(Within(absl::Seconds(20)).get(), request, &listed).ok());
  ASSERT_THAT(listed.stats(), SizeIs(1));
  EXPECT_THAT(listed.stats(0).linux().containers(), SizeIs(2));
  StopPod(pod);
  ASSERT_TRUE(TryPod(pod, &stats).ok());
  EXPECT_THAT(stats.linux().containers(), IsEmpty());
  ASSERT_TRUE(
      runtime_->ListPodSandboxStats(Within(absl::Seconds(20)).get(), request, &listed).ok());
  EXPECT_THAT(listed.stats(), IsEmpty());
}

TEST_F(Stats, NoFdIsKeptOfAContainerThatEnded) {
  const std::string pod = RunPod(PodConfig());
  const std::string id = Create(pod, ContainerConfig("sleep 1000"));
  Start(id);
  Listed({});
  const size_t kept = DaemonFds();
  Stop(id);
  EXPECT_TRUE(Eventually([&] { return DaemonFds() + 3 < kept; }, absl::Seconds(20)));
}

TEST_F(Stats, VerboseStatusHasTheRuntimeSpec) {
  const auto [pod, id] = RunContainer(ContainerConfig("sleep 1000"));
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(true);
  cri::ContainerStatusResponse response;
  ASSERT_TRUE(runtime_->ContainerStatus(Within(absl::Seconds(20)).get(), request, &response).ok());
  const std::string info = response.info().at("info");
  for (const char* part :
       {"\"runtimeSpec\":{", "\"pid\":", "\"sandboxID\":\"", "\"cgroupsPath\""}) {
    EXPECT_THAT(info, HasSubstr(part));
  }
  cri::StatusRequest status_request;
  status_request.set_verbose(true);
  cri::StatusResponse status;
  ASSERT_TRUE(runtime_->Status(Within(absl::Seconds(20)).get(), status_request, &status).ok());
  EXPECT_THAT(status.info().at("config"),
              HasSubstr(absl::StrCat("\"stateDir\":\"", daemon().data_dir(), "/containers\"")));
}

class UpdateResources : public E2e {
 protected:
  grpc::Status Try(const std::string& id, const cri::LinuxContainerResources& resources) {
    cri::UpdateContainerResourcesRequest request;
    request.set_container_id(id);
    *request.mutable_linux() = resources;
    (*request.mutable_annotations())["ignored"] = "yes";
    cri::UpdateContainerResourcesResponse response;
    return runtime_->UpdateContainerResources(Within(absl::Seconds(30)).get(), request, &response);
  }
  std::string Cgroup(const std::string& pod, const std::string& id) {
    return absl::StrCat(daemon().cgroup_root(), "/", pod, "/", id);
  }
  // Every limit as the kernel has it, one line each.
  std::vector<std::string> InForce(const std::string& cgroup) {
    os::CgroupLimits all;
    all.cpu_shares = 2;
    all.cpu_quota_us = all.cpu_period_us = 1;
    all.cpuset_cpus = all.cpuset_mems = "0";
    all.memory_bytes = all.memory_swap_bytes = 1;
    std::vector<std::string> lines;
    const absl::StatusOr<std::vector<os::CgroupFile>> files =
        os::CgroupHost::Probe()->Capture(cgroup, all);
    EXPECT_TRUE(files.ok()) << files.status();
    if (!files.ok()) return lines;
    for (const os::CgroupFile& file : *files) {
      lines.push_back(absl::StrCat(file.path.substr(file.path.rfind('/') + 1), "=", file.value));
    }
    return lines;
  }
  static cri::ContainerConfig WithLimits(cri::ContainerConfig config) {
    cri::LinuxContainerResources* r = config.mutable_linux()->mutable_resources();
    r->set_cpu_shares(512);
    r->set_cpu_period(100000);
    r->set_cpu_quota(90000);
    r->set_memory_limit_in_bytes(64 << 20);
    return config;
  }
  static cri::LinuxContainerResources Bigger() {
    cri::LinuxContainerResources r;
    r.set_cpu_shares(1024);
    r.set_cpu_quota(150000);
    r.set_memory_limit_in_bytes(128 << 20);
    r.set_cpuset_cpus("0");
    return r;
  }
  void ExpectBigger(const std::string& cgroup, const std::string& id) {
    if (os::CgroupHost::Probe()->layout() != os::CgroupLayout::kV2) {
      EXPECT_THAT(InForce(cgroup),
                  ::testing::IsSupersetOf({"cpu.shares=1024", "cpu.cfs_quota_us=150000",
                                           "cpu.cfs_period_us=100000", "cpuset.cpus=0",
                                           "memory.limit_in_bytes=134217728",
                                           "memory.memsw.limit_in_bytes=134217728"}));
    } else {
      EXPECT_THAT(InForce(cgroup), ::testing::IsSupersetOf(
                                       {"cpu.weight=100", "cpu.max=150000 100000", "cpuset.cpus=0",
                                        "memory.max=134217728", "memory.swap.max=0"}));
    }
    const cri::LinuxContainerResources shown = Status(id).resources().linux();
    EXPECT_EQ(shown.cpu_shares(), 1024);
    EXPECT_EQ(shown.cpu_quota(), 150000);
    EXPECT_EQ(shown.cpu_period(), 100000);
    EXPECT_EQ(shown.memory_limit_in_bytes(), 128 << 20);
    EXPECT_EQ(shown.cpuset_cpus(), "0");
  }
};

TEST_F(UpdateResources, OfARunningContainerAreInForceAtOnceAndAfterARestart) {
  const auto [pod, id] = RunContainer(WithLimits(ContainerConfig("sleep 1000")));
  const std::string cgroup = Cgroup(pod, id);
  cri::LinuxContainerResources bigger = Bigger();
  bigger.set_oom_score_adj(555);
  const grpc::Status status = Try(id, bigger);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ExpectBigger(cgroup, id);
  EXPECT_EQ(Shell(id, "cat /proc/1/oom_score_adj"), "555\n");
  daemon().Kill9();
  daemon().Start();
  Reconnect();
  ExpectBigger(cgroup, id);
  cri::LinuxContainerResources smaller;
  smaller.set_memory_limit_in_bytes(32 << 20);
  EXPECT_TRUE(Try(id, smaller).ok());
  EXPECT_EQ(Status(id).resources().linux().memory_limit_in_bytes(), 32 << 20);
  EXPECT_EQ(Status(id).resources().linux().cpu_shares(), 1024);
}

TEST_F(UpdateResources, OfACreatedContainerApplyBeforeItsStart) {
  const std::string pod = RunPod(PodConfig());
  const std::string id = Create(pod, WithLimits(ContainerConfig("sleep 1000")));
  ASSERT_TRUE(Try(id, Bigger()).ok());
  ExpectBigger(Cgroup(pod, id), id);
  Start(id);
  ExpectBigger(Cgroup(pod, id), id);
  Stop(id);
  EXPECT_THAT(Try(id, Bigger()),
              StatusIs(grpc::StatusCode::FAILED_PRECONDITION, HasSubstr("exited")));
}

TEST_F(UpdateResources, ThatFailLeaveEverythingAsItWas) {
  const auto [pod, id] = RunContainer(WithLimits(ContainerConfig(
      "x=$(head -c 30000000 /dev/zero | tr '\\0' x); echo ready; while :; do sleep 1000; done")));
  ASSERT_TRUE(Eventually([&] { return !LogLines().empty(); }, absl::Seconds(60)));
  const std::vector<std::string> before = InForce(Cgroup(pod, id));
  const std::string shown = Status(id).resources().DebugString();
  cri::LinuxContainerResources wrong = Bigger();
  wrong.set_cpuset_cpus("4000");
  EXPECT_THAT(Try(id, wrong), StatusIs(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("4000")));
  EXPECT_EQ(InForce(Cgroup(pod, id)), before);
  wrong = Bigger();
  wrong.clear_cpuset_cpus();
  wrong.set_memory_limit_in_bytes(8 << 20);
  EXPECT_THAT(Try(id, wrong),
              StatusIs(grpc::StatusCode::FAILED_PRECONDITION, HasSubstr("bytes are in use")));
  EXPECT_EQ(InForce(Cgroup(pod, id)), before);
  wrong = Bigger();
  wrong.set_cpu_quota(-7);
  EXPECT_THAT(Try(id, wrong), StatusIs(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("cpu_quota")));
  wrong = Bigger();
  wrong.set_oom_score_adj(5000);
  EXPECT_THAT(Try(id, wrong),
              StatusIs(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("oom_score_adj")));
  if (os::CgroupHost::Probe()->layout() != os::CgroupLayout::kV2) {
    wrong = Bigger();
    (*wrong.mutable_unified())["memory.high"] = "1";
    EXPECT_THAT(Try(id, wrong), StatusIs(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("unified")));
  }
  EXPECT_EQ(InForce(Cgroup(pod, id)), before);
  EXPECT_EQ(Status(id).resources().DebugString(), shown);
  EXPECT_EQ(Status(id).state(), cri::CONTAINER_RUNNING);
  EXPECT_THAT(Try(std::string(64, '0'), Bigger()),
              StatusIs(grpc::StatusCode::NOT_FOUND, HasSubstr("no such container")));
}

TEST_F(UpdateResources, CutShortByAKillAreUndoneAtTheNextStart) {
  const auto [pod, id] = RunContainer(WithLimits(ContainerConfig("sleep 1000")));
  const std::vector<std::string> before = InForce(Cgroup(pod, id));
  const std::string shown = Status(id).resources().DebugString();
  for (const char* name : {"update_resources_after_intent", "update_resources_after_limits"}) {
    ASSERT_EQ(daemon().Ctl({"failpoints", "set", absl::StrCat(name, "=kill")}).exit_code, 0);
    EXPECT_FALSE(Try(id, Bigger()).ok());
    ASSERT_TRUE(Eventually([&] { return daemon().HasDied(); }, absl::Seconds(20)));
    daemon().Start();
    Reconnect();
    EXPECT_EQ(InForce(Cgroup(pod, id)), before) << name;
    EXPECT_EQ(Status(id).resources().DebugString(), shown) << name;
  }
  EXPECT_TRUE(Try(id, Bigger()).ok());
  ExpectBigger(Cgroup(pod, id), id);
}

}  // namespace
}  // namespace berth::testing
