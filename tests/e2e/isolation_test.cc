// What a container can and cannot do: namespaces, mounts, users, capabilities, seccomp, limits.
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "tests/e2e/e2e.h"

namespace berth::testing {
namespace {

class Isolation : public E2e {
 protected:
  // Runs a script as a container of its own with the security context edited; its output.
  std::string RunAs(const std::function<void(cri::LinuxContainerSecurityContext*)>& edit,
                    const std::string& script) {
    cri::ContainerConfig config = ContainerConfig(script);
    edit(config.mutable_linux()->mutable_security_context());
    const auto [pod, id] = RunContainer(config);
    WaitExit(id);
    std::string text;
    for (const std::string& line : LogLines()) absl::StrAppend(&text, line.substr(9), "\n");
    EXPECT_EQ(unlink(LogPath().c_str()), 0);
    RemovePod(pod);
    return text;
  }
};

std::string HostNs(const std::string& name) {
  char target[64] = {};
  EXPECT_GT(readlink(absl::StrCat("/proc/self/ns/", name).c_str(), target, sizeof target - 1), 0);
  return target;
}

TEST_F(Isolation, NamespacesAreItsOwnButForTheNetworkOfTheNode) {
  const auto [pod, id] = RunContainer(ContainerConfig("sleep 1000"));
  for (const char* ns : {"mnt", "pid", "ipc", "uts", "cgroup"}) {
    EXPECT_NE(Shell(id, absl::StrCat("readlink /proc/self/ns/", ns)), HostNs(ns) + "\n") << ns;
  }
  EXPECT_EQ(Shell(id, "readlink /proc/self/ns/net"), HostNs("net") + "\n");
  EXPECT_EQ(Shell(id, "cat /proc/1/comm"), "sleep\n");
  utsname host;
  ASSERT_EQ(uname(&host), 0);
  EXPECT_EQ(Shell(id, "hostname"), absl::StrCat(host.nodename, "\n"));
}

TEST_F(Isolation, StandardMountsAreThere) {
  const auto [pod, id] = RunContainer(ContainerConfig("sleep 1000"));
  const std::string mounts = Shell(id, "cat /proc/self/mountinfo");
  for (const char* line :
       {" / / rw", " /proc rw,nosuid,nodev,noexec", " /sys ro,nosuid,nodev,noexec",
        " /dev rw,nosuid", " /dev/pts rw,nosuid,noexec", " /dev/shm rw,nosuid,nodev,noexec",
        " /dev/mqueue rw,nosuid,nodev,noexec"}) {
    EXPECT_THAT(mounts, HasSubstr(line));
  }
  EXPECT_THAT(mounts, HasSubstr(" - overlay "));
  EXPECT_EQ(Shell(id, "ls -1 /dev | sort | tr '\\n' ' '"),
            "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ");
  EXPECT_EQ(Shell(id, "ls -l /sys/fs/cgroup > /dev/null && echo cgroup"), "cgroup\n");
  EXPECT_EQ(Shell(id, "touch /sys/fs/cgroup/x 2>&1 | grep -c 'Read-only'"), "1\n");
}

TEST_F(Isolation, MaskedPathsAreEmptyAndReadonlyPathsReadonly) {
  const auto [pod, id] = RunContainer(ContainerConfig("sleep 1000"));
  EXPECT_EQ(Shell(id, "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c"), "0\n");
  EXPECT_EQ(Shell(id, "ls -A /proc/acpi /sys/firmware 2>/dev/null | grep -v : | wc -w"), "0\n");
  // Opening for writing is refused: nothing is written to the host should that ever fail.
  for (const char* file : {"/proc/sys/kernel/core_pattern", "/proc/irq/default_smp_affinity"}) {
    EXPECT_EQ(Shell(id, absl::StrCat("(: > ", file, ") 2>&1 | grep -c 'Read-only'")), "1\n")
        << file;
  }
}

TEST_F(Isolation, MaskedPathsComeFromTheRequest) {
  EXPECT_EQ(RunAs(
                [](auto* s) {
                  s->add_masked_paths("/etc/group");
                  s->add_readonly_paths("/tmp");
                },
                "wc -c < /etc/group; touch /tmp/x 2>&1 | grep -c Read-only"),
            "0\n1\n");
}

TEST_F(Isolation, CapabilitiesAreTheDefaultOnesAndInheritableIsEmpty) {
  EXPECT_EQ(RunAs([](auto*) {}, "grep '^Cap' /proc/self/status | tr '\\n' ' '"),
            "CapInh:\t0000000000000000 CapPrm:\t00000000a80425fb CapEff:\t00000000a80425fb "
            "CapBnd:\t00000000a80425fb CapAmb:\t0000000000000000 \n");
}

TEST_F(Isolation, CapabilitiesAddAndDrop) {
  EXPECT_EQ(RunAs(
                [](auto* s) {
                  s->mutable_capabilities()->add_drop_capabilities("ALL");
                  s->mutable_capabilities()->add_add_capabilities("NET_ADMIN");
                },
                "grep '^CapEff' /proc/self/status"),
            "CapEff:\t0000000000001000\n");
  cri::ContainerConfig config = ContainerConfig("true");
  config.mutable_linux()->mutable_security_context()->mutable_capabilities()->add_add_capabilities(
      "NOT_A_CAPABILITY");
  std::string id;
  EXPECT_THAT(TryCreate(RunPod(PodConfig()), config, PodConfig(), &id),
              StatusIs(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("NOT_A_CAPABILITY")));
}

TEST_F(Isolation, NonRootUserHasGroupsAndNoCapabilities) {
  EXPECT_EQ(RunAs(
                [](auto* s) {
                  s->mutable_run_as_user()->set_value(1234);
                  s->mutable_run_as_group()->set_value(5678);
                  s->add_supplemental_groups(777);
                },
                "id -u; id -g; grep '^Groups' /proc/self/status; grep CapEff /proc/self/status"),
            "1234\n5678\nGroups:\t777 5678 \nCapEff:\t0000000000000000\n");
}

TEST_F(Isolation, UserNamesResolveInTheImage) {
  EXPECT_EQ(RunAs([](auto* s) { s->set_run_as_username("nobody"); }, "id -u"), "65534\n");
  const std::string pod = RunPod(PodConfig());
  cri::ContainerConfig config = ContainerConfig("true");
  config.mutable_linux()->mutable_security_context()->set_run_as_username("no-such-user");
  EXPECT_THAT(TryCreate(pod, config, PodConfig(), nullptr),
              StatusIs(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("no-such-user")));
  config.mutable_linux()->mutable_security_context()->clear_run_as_username();
  config.mutable_linux()->mutable_security_context()->mutable_run_as_group()->set_value(5);
  EXPECT_THAT(TryCreate(pod, config, PodConfig(), nullptr),
              StatusIs(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr("run_as_group")));
}

TEST_F(Isolation, NoNewPrivsIsAsAsked) {
  EXPECT_EQ(RunAs([](auto* s) { s->set_no_new_privs(true); }, "grep NoNewPrivs /proc/self/status"),
            "NoNewPrivs:\t1\n");
  EXPECT_EQ(RunAs([](auto*) {}, "grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t0\n");
}

TEST_F(Isolation, DefaultSeccompProfileRefusesWhatContainersDoNotNeed) {
  // A user namespace needs no capability: only the filter stands in its way.
  const std::string script =
      "grep ^Seccomp: /proc/self/status; unshare -U echo made 2>&1 | grep -oE 'made|not permitted'";
  EXPECT_EQ(RunAs(
                [](auto* s) {
                  s->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
                },
                script),
            "Seccomp:\t2\nnot permitted\n");
  EXPECT_EQ(
      RunAs(
          [](auto* s) { s->mutable_seccomp()->set_profile_type(cri::SecurityProfile::Unconfined); },
          script),
      "Seccomp:\t0\nmade\n");
}

TEST_F(Isolation, ReadonlyRootRefusesWrites) {
  EXPECT_EQ(RunAs([](auto* s) { s->set_readonly_rootfs(true); },
                  "touch /x 2>&1 | grep -c 'Read-only'; touch /dev/shm/ok && echo shm"),
            "1\nshm\n");
}

TEST_F(Isolation, PrivilegedNeedsAPrivilegedPod) {
  cri::ContainerConfig config = ContainerConfig("grep CapEff /proc/self/status");
  config.mutable_linux()->mutable_security_context()->set_privileged(true);
  const std::string plain = RunPod(PodConfig());
  EXPECT_FALSE(TryCreate(plain, config, PodConfig(), nullptr).ok());
  RemovePod(plain);
  cri::PodSandboxConfig pod_config = PodConfig();
  pod_config.mutable_linux()->mutable_security_context()->set_privileged(true);
  const std::string pod = RunPod(pod_config);
  const std::string id = Create(pod, config);
  Start(id);
  WaitExit(id);
  absl::StatusOr<uint64_t> all = os::BoundingCapabilities();
  ASSERT_TRUE(all.ok());
  EXPECT_THAT(LogLines(), ::testing::ElementsAre(absl::StrCat("stdout F CapEff:\t",
                                                              absl::Hex(*all, absl::kZeroPad16))));
}

TEST_F(Isolation, EnvironmentIsImageThenRequestAndMayBeBytes) {
  cri::ContainerConfig config = ContainerConfig("env | sort; printf %s \"$BYTES\" | od -An -tx1");
  cri::KeyValue* a = config.add_envs();
  a->set_key("COLOUR");
  a->set_value("green");
  cri::KeyValue* b = config.add_envs();
  b->set_key("BYTES");
  b->set_value("\xff\xfe");
  const auto [pod, id] = RunContainer(config);
  WaitExit(id);
  const std::vector<std::string> lines = LogLines();
  EXPECT_THAT(lines, ::testing::Contains("stdout F COLOUR=green"));
  EXPECT_THAT(lines, ::testing::Contains("stdout F HOME=/root"));
  EXPECT_THAT(lines, ::testing::Contains("stdout F  ff fe"));
  EXPECT_THAT(lines, ::testing::Contains(HasSubstr("stdout F PATH=")));
}

TEST_F(Isolation, WorkingDirectoryIsMadeInsideTheRoot) {
  cri::ContainerConfig config = ContainerConfig("pwd; sleep 1000");
  config.set_working_dir("/made/for/you");
  const auto [pod, id] = RunContainer(config);
  EXPECT_EQ(Shell(id, "pwd"), "/made/for/you\n");
  EXPECT_NE(access("/made", F_OK), 0);
}

TEST_F(Isolation, CgroupLimitsAreApplied) {
  cri::ContainerConfig config = ContainerConfig("sleep 1000");
  cri::LinuxContainerResources* r = config.mutable_linux()->mutable_resources();
  r->set_memory_limit_in_bytes(64 << 20);
  r->set_cpu_shares(512);
  r->set_cpu_period(100000);
  r->set_cpu_quota(50000);
  r->set_cpuset_cpus("0");
  const auto [pod, id] = RunContainer(config);
  const auto read = [&, pod = pod, id = id](const std::string& controller,
                                            const std::string& file) {
    absl::StatusOr<std::string> text =
        os::ReadFile(absl::StrCat("/sys/fs/cgroup/", controller, daemon().cgroup_root(), "/", pod,
                                  "/", id, "/", file),
                     4096);
    return text.ok() ? *text : std::string(text.status().message());
  };
  EXPECT_EQ(read("memory", "memory.limit_in_bytes"), "67108864\n");
  EXPECT_EQ(read("cpu", "cpu.shares"), "512\n");
  EXPECT_EQ(read("cpu", "cpu.cfs_quota_us"), "50000\n");
  EXPECT_EQ(read("cpuset", "cpuset.cpus"), "0\n");
  EXPECT_EQ(Status(id).resources().linux().memory_limit_in_bytes(), 64 << 20);
  // Devices: an allow-list.
  EXPECT_EQ(Shell(id, "mknod /sda b 8 0 && (head -c1 /sda 2>&1 | grep -c 'not permitted')"), "1\n");
  EXPECT_EQ(Shell(id, "head -c1 /dev/zero | wc -c"), "1\n");
}

TEST_F(Isolation, AMemoryLimitKillsAndIsNamed) {
  cri::ContainerConfig config =
      ContainerConfig("exec /bin/sh -c 'x=$(head -c 200000000 /dev/zero | tr \"\\0\" x)'");
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(32 << 20);
  const auto [pod, id] = RunContainer(config);
  const cri::ContainerStatus status = WaitExit(id, absl::Seconds(60));
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_EQ(status.reason(), "OOMKilled");
}

TEST_F(Isolation, HostPathsAreBoundWithTheirFlags) {
  cri::ContainerConfig config = ContainerConfig("sleep 1000");
  const std::string host = daemon().dir() + "/volume";
  ASSERT_TRUE(os::MakeDirs(host, 0755).ok());
  cri::Mount* rw = config.add_mounts();
  rw->set_host_path(host);
  rw->set_container_path("/data/rw");
  cri::Mount* ro = config.add_mounts();
  ro->set_host_path(host);
  ro->set_container_path("/data/ro");
  ro->set_readonly(true);
  const auto [pod, id] = RunContainer(config);
  Shell(id, "echo hello > /data/rw/file");
  absl::StatusOr<std::string> text = os::ReadFile(host + "/file", 64);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, "hello\n");
  EXPECT_EQ(Shell(id, "cat /data/ro/file; touch /data/ro/x 2>&1 | grep -c Read-only"),
            "hello\n1\n");
}

TEST_F(Isolation, OnlyStandardFdsReachTheContainer) {
  EXPECT_EQ(RunAs([](auto*) {}, "ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 \n")
      << "3 is ls's own";
}

}  // namespace
}  // namespace berth::testing
