// Scheduling, memory and personality of a container's processes, as the kernel tells them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/security_module.h"
#include "base/os/user_namespace.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using ::testing::HasSubstr;

using ProcessAttributesRootTest = ShimTest;

constexpr char kOwnNice[] = "exec busybox cut -d' ' -f19 /proc/self/stat";
constexpr int kIoBestEffort6 = (2 << 13) | 6;

oci::Scheduler Batch(int nice) {
  oci::Scheduler scheduler;
  scheduler.policy = "SCHED_BATCH";
  scheduler.nice = nice;
  return scheduler;
}

void ExpectBatch(pid_t pid, int nice, int flags) {
  EXPECT_EQ(sched_getscheduler(pid), SCHED_BATCH | flags);
  EXPECT_EQ(getpriority(PRIO_PROCESS, static_cast<id_t>(pid)), nice);
  EXPECT_EQ(syscall(SYS_ioprio_get, 1, pid), kIoBestEffort6);
}

TEST_F(ProcessAttributesRootTest, SchedulerAndIoPriorityAreThoseOfTheSpecAndOfExecs) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().process.scheduler = Batch(-3);  // less than 0 takes a privilege of the host
  c.spec().process.io_priority = oci::IoPriority{"IOPRIO_CLASS_BE", 6};
  c.Run();
  ExpectBatch(c.launched().init_pid, -3, 0);
  EXPECT_EQ(c.Exec(kOwnNice), "-3\n");
}

TEST_F(ProcessAttributesRootTest, AUserNamespaceGetsThemFromTheHost) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  oci::Spec& spec = c.spec();
  spec.linux_.namespaces.push_back({oci::NamespaceType::kUser, ""});
  spec.linux_.mappings = {{{0, 200000, 65536}}, {{0, 200000, 65536}}};
  spec.process.scheduler = Batch(-4);
  spec.process.scheduler->flags = {"SCHED_FLAG_RESET_ON_FORK"};
  spec.process.io_priority = oci::IoPriority{"IOPRIO_CLASS_BE", 6};
  c.Run();
  ExpectBatch(c.launched().init_pid, -4, SCHED_RESET_ON_FORK);
  EXPECT_EQ(c.Exec(kOwnNice), "-4\n");
}

TEST_F(ProcessAttributesRootTest, PersonalityIsSetForAllProcesses) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().linux_.personality = oci::Personality{"LINUX32", {}};
  c.Run();
  EXPECT_EQ(
      os::ReadFile(absl::StrCat("/proc/", c.launched().init_pid, "/personality"), 64).value_or(""),
      "00000008\n");
  EXPECT_EQ(c.Exec("cat /proc/self/personality"), "00000008\n");
}

TEST_F(ProcessAttributesRootTest, MemoryComesFromTheNodesOfTheSpec) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().linux_.memory_policy = oci::MemoryPolicy{"MPOL_INTERLEAVE", "0", {}};
  if (access("/proc/self/numa_maps", F_OK) != 0) {
    EXPECT_THAT(std::string(c.Create().message()), HasSubstr("linux.memoryPolicy: "));
    return;
  }
  c.Run();
  const std::string maps = absl::StrCat("/proc/", c.launched().init_pid, "/numa_maps");
  EXPECT_THAT(os::ReadFile(maps, 1 << 20).value_or(""), HasSubstr("interleave:0"));
  EXPECT_THAT(c.Exec("cat /proc/self/numa_maps"), HasSubstr("interleave:0"));
}

TEST_F(ProcessAttributesRootTest, ANodeThatIsNotThereIsRefused) {
  TestContainer c(host_, {"/bin/true"});
  c.spec().linux_.memory_policy = oci::MemoryPolicy{"MPOL_BIND", "1000", {}};
  EXPECT_EQ(c.Create().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ProcessAttributesRootTest, CpusOfAnExecAreItsOwnAndNotTheFirstProcesss) {
  cpu_set_t own;
  ASSERT_EQ(sched_getaffinity(0, sizeof own, &own), 0);
  int last = -1;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &own)) last = cpu;
  }
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().process.exec_cpu_affinity = {absl::StrCat(last), absl::StrCat(last)};
  c.Run();
  EXPECT_EQ(c.Exec("grep Cpus_allowed_list /proc/self/status"),
            absl::StrCat("Cpus_allowed_list:\t", last, "\n"));
  cpu_set_t first;
  ASSERT_EQ(sched_getaffinity(c.launched().init_pid, sizeof first, &first), 0);
  EXPECT_TRUE(CPU_EQUAL(&own, &first));
}

TEST_F(ProcessAttributesRootTest, AnExecOnCpusThatAreNotThereNamesTheStep) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().process.exec_cpu_affinity.final_ = "8000";
  c.Run();
  ExecOptions options;
  options.args = {"/bin/true"};
  options.timeout = absl::Seconds(20);
  const absl::StatusOr<ExecOutput> output = c.client().ExecSync(options);
  ASSERT_FALSE(output.ok());
  EXPECT_THAT(std::string(output.status().message()), HasSubstr("set CPU affinity"));
}

TEST_F(ProcessAttributesRootTest, AProfileOrALabelIsRefusedWhereNothingWouldEnforceIt) {
  if (!os::AppArmorIsOn()) {
    TestContainer c(host_, {"/bin/true"});
    c.spec().process.apparmor_profile = "berth-default";
    const absl::Status status = c.Create();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("process.apparmorProfile"));
  }
  if (!os::SelinuxIsOn()) {
    TestContainer c(host_, {"/bin/true"});
    c.spec().process.selinux_label = "system_u:system_r:svirt_lxc_net_t:s0";
    const absl::Status status = c.Create();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("process.selinuxLabel"));
  }
}

}  // namespace
}  // namespace berth::shim
