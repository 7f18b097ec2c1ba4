#include "shim/oci/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace berth::shim::oci {
namespace {

void AddAttributes(Spec* spec) {
  Process& process = spec->process;
  process.terminal = true;
  process.console_height = 25;
  process.console_width = 80;
  process.apparmor_profile = "profile";
  process.selinux_label = "a:b:c:s0";
  process.scheduler = {"SCHED_DEADLINE", -5, 0, {"SCHED_FLAG_RECLAIM"}, 1, 2, 3};
  process.io_priority = {"IOPRIO_CLASS_BE", 4};
  process.exec_cpu_affinity = {"0-1", "1"};
  spec->domainname = "example.org";
  const Hook hook = {"/bin/hook", {"hook", "x"}, {"A=b"}, 3};
  spec->hooks = {{hook}, {hook, hook}, {hook}, {hook}, {hook}, {{"/bin/last", {}, {}, {}}}};
  Linux& in = spec->linux_;
  in.mount_label = "a:b:c:s1";
  in.time_offsets = {{"monotonic", {-3, 7}}, {"boottime", {1, 999999999}}};
  in.personality = {"LINUX32", {}};
  in.memory_policy = {"MPOL_BIND", "0-1", {"MPOL_F_STATIC_NODES"}};
  in.intel_rdt = {"class", "L3:0=f", "MB:0=20", {"L2:0=f"}, true};
  in.net_devices = {{"eth0", "inner"}, {"eth1", ""}};
  in.seccomp = R"({"defaultAction":"SCMP_ACT_ALLOW"})";
}

void AddLimits(os::CgroupLimits* limits) {
  limits->cpu_burst_us = 7;
  limits->cpu_idle = 1;
  limits->cpu_rt_runtime_us = 0;
  limits->cpu_rt_period_us = 1000000;
  limits->cpuset_mems = "0";
  limits->memory_reservation_bytes = 1 << 19;
  limits->memory_kernel_tcp_bytes = 1 << 18;
  limits->memory_swappiness = 0;
  limits->memory_oom_kill_disable = false;
  limits->memory_use_hierarchy = true;
  limits->block_io.weight = 10;
  limits->block_io.leaf_weight = 20;
  limits->block_io.device_weights = {{8, 0, 500, 0}, {8, 16, 0, 300}};
  limits->block_io.read_bps = {{8, 0, 600}};
  limits->block_io.write_bps = {{8, 0, 601}};
  limits->block_io.read_iops = {{8, 0, 602}};
  limits->block_io.write_iops = {{8, 0, UINT64_MAX}};
  limits->rdma = {{"mlx5_1", {3, {}}}, {"rxe3", {{}, 0}}};
  limits->net_class_id = 0x100001;
  limits->net_priorities = {{"eth0", 5}};
}

Spec Full() {
  Spec spec;
  spec.process.args = {"/bin/sh", "-c", "true"};
  spec.process.env = {"PATH=/bin", "EMPTY=", "UTF=\xC3\xA4"};
  spec.process.cwd = "/work";
  spec.process.user = {1000, 1001, 0027, {5, 6}};
  spec.process.capabilities.bounding = {"CAP_CHOWN"};
  spec.process.capabilities.ambient = {"CAP_KILL"};
  spec.process.rlimits = {{"RLIMIT_NOFILE", 2048, 1024}, {"RLIMIT_CORE", UINT64_MAX, 0}};
  spec.process.no_new_privileges = true;
  spec.process.oom_score_adj = -5;
  spec.root_path = "rootfs";
  spec.root_readonly = true;
  spec.hostname = "box";
  spec.mounts = {{"/proc", "proc", "proc", {"nosuid"}}, {"/data", "bind", "/srv", {"rbind"}}};
  spec.annotations = {{"a", "b"}};
  spec.linux_.namespaces = {
      {NamespaceType::kPid, ""}, {NamespaceType::kIpc, "/run/ipc"}, {NamespaceType::kTime, ""}};
  spec.linux_.mappings = {{{0, 100000, 65536}}, {{0, 200000, 1000}, {1000, 5, 1}}};
  spec.mounts[1].mappings = {{{0, 7, 1}}, {{0, 8, 1}}};
  spec.linux_.devices = {{"/dev/fuse", 'c', 10, 229, 0600, 1, 2}};
  spec.linux_.cgroups_path = "/kubepods/x";
  spec.linux_.sysctl = {{"kernel.shm_rmid_forced", "1"}};
  spec.linux_.masked_paths = {"/proc/kcore"};
  spec.linux_.readonly_paths = {"/proc/sys"};
  spec.linux_.rootfs_propagation = "rslave";
  os::CgroupLimits& limits = spec.linux_.resources;
  limits.cpu_shares = 512;
  limits.cpu_quota_us = -1;
  limits.cpu_period_us = 100000;
  limits.cpuset_cpus = "0-1";
  limits.memory_bytes = 1 << 20;
  limits.memory_swap_bytes = -1;
  limits.pids_max = 100;
  limits.hugepage_bytes = {{"2MB", 0}};
  limits.unified = {{"memory.high", "max"}};
  limits.devices = {{false, 'a', {}, {}, "rwm"}, {true, 'c', 1, 3, "r"}};
  AddAttributes(&spec);
  AddLimits(&limits);
  return spec;
}

std::string Error(absl::string_view json) {
  return std::string(ParseSpec(json).status().message());
}

// A valid document with one more member at a place.
std::string With(absl::string_view place, absl::string_view member) {
  return absl::StrReplaceAll(
      R"({"ociVersion":"1.2.0","root":{"path":"r"} TOP,"process":{"args":["a"],"cwd":"/" PROCESS},"linux":{"x":0 LINUX}})",
      {{"TOP", place == "TOP" ? member : ""},
       {"PROCESS", place == "PROCESS" ? member : ""},
       {"LINUX", place == "LINUX" ? member : ""}});
}

TEST(SpecTest, WhatToJsonWritesParsesToTheSameText) {
  const std::string json = ToJson(Full());
  const absl::StatusOr<Spec> again = ParseSpec(json);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ToJson(*again), json);
  EXPECT_EQ(again->process.rlimits[1].hard, UINT64_MAX);
  EXPECT_EQ(again->linux_.resources.memory_swap_bytes, -1);
  EXPECT_EQ(again->linux_.namespaces[1].path, "/run/ipc");
  EXPECT_EQ(again->process.user.umask, 0027U);
}

TEST(SpecTest, BytesThatAreNotUtf8SurviveTheRoundTrip) {
  Spec spec = Full();
  std::string all = "ALL=";
  for (int i = 1; i < 256; ++i) all.push_back(static_cast<char>(i));
  spec.process.env = {"A=\xC3\xA4", all, "C=\xED\xA0\x80", "D=\xF5"};
  spec.process.args = {"/bin/\xFF"};
  const absl::StatusOr<Spec> again = ParseSpec(ToJson(spec));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->process.env, spec.process.env);
  EXPECT_EQ(again->process.args, spec.process.args);
  EXPECT_EQ(again->annotations, spec.annotations);
}

TEST(SpecTest, UnknownPropertiesAreIgnored) {
  EXPECT_TRUE(ParseSpec(With("TOP", R"(,"com.example":{"x":1})")).ok());
}

TEST(SpecTest, NullReadsAsAbsent) {
  const absl::StatusOr<Spec> spec = ParseSpec(With("LINUX", R"(,"maskedPaths":null)"));
  ASSERT_TRUE(spec.ok());
  EXPECT_TRUE(spec->linux_.masked_paths.empty());
}

TEST(SpecTest, AMountDestinationThatIsRelativeIsBelowTheRoot) {
  const absl::StatusOr<Spec> spec = ParseSpec(With("TOP", R"(,"mounts":[{"destination":"proc"}])"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->mounts[0].destination, "/proc");
}

TEST(SpecTest, TheProcessMayComeLater) {
  const absl::StatusOr<Spec> spec = ParseSpec(R"({"ociVersion":"1.2.0","root":{"path":"r"}})");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_FALSE(spec->has_process);
  EXPECT_FALSE(ParseSpec(ToJson(*spec))->has_process);
}

TEST(SpecTest, ConsoleSizeCountsOnlyWithATerminal) {
  EXPECT_TRUE(ParseSpec(With("PROCESS", R"(,"consoleSize":{"height":-1})")).ok());
  EXPECT_EQ(Error(With("PROCESS", R"(,"terminal":true,"consoleSize":{"height":1})")),
            "process.consoleSize.width: is required");
}

TEST(SpecTest, ZeroReadsAsNotSetWhereNothingCouldRunWithIt) {
  const absl::StatusOr<os::CgroupLimits> limits = ParseResources(
      R"({"memory":{"limit":0,"reservation":0,"swap":0,"kernel":0,"kernelTCP":0},)"
      R"("cpu":{"shares":0,"quota":0,"period":0,"realtimePeriod":0,"cpus":"","mems":""},)"
      R"("blockIO":{"weight":0},"pids":{"limit":0}})");
  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_FALSE(limits->memory_bytes || limits->memory_swap_bytes ||
               limits->memory_reservation_bytes || limits->memory_kernel_tcp_bytes);
  EXPECT_FALSE(limits->cpu_shares || limits->cpu_quota_us || limits->cpu_period_us ||
               limits->cpu_rt_period_us);
  EXPECT_EQ(limits->block_io.weight, 0);
  EXPECT_EQ(limits->pids_max, 0) << "no further process, says the specification";
}

TEST(SpecTest, ADeviceNumberOfMinusOneMeansAll) {
  const absl::StatusOr<os::CgroupLimits> limits =
      ParseResources(R"({"devices":[{"allow":true,"type":"c","major":5,"minor":-1}]})");
  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_EQ(limits->devices[0].major, 5);
  EXPECT_FALSE(limits->devices[0].minor.has_value());
  EXPECT_EQ(limits->devices[0].access, "rwm");
}

TEST(SpecTest, AProcessCanBeReadAlone) {
  const absl::StatusOr<Process> process = ParseProcess(R"({"args":["a"],"cwd":"/x"})");
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_EQ(process->cwd, "/x");
  EXPECT_EQ(ParseProcess(R"({"args":["a"]})").status().message(), "cwd: is required");
}

TEST(SpecTest, UnknownCapabilitiesAreWarnedOf) {
  const absl::StatusOr<Spec> spec =
      ParseSpec(With("PROCESS", R"(,"capabilities":{"permitted":["CAP_KILL","CAP_MOON"]})"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(
      Warnings(*spec),
      ::testing::ElementsAre("process.capabilities.permitted: CAP_MOON is unknown: left out"));
}

TEST(SpecTest, TextThatIsNoCleanJsonIsRefusedWithThePlace) {
  EXPECT_EQ(Error("{"), "not valid JSON at byte 2");
  EXPECT_EQ(Error(""), "not valid JSON at byte 1");
  EXPECT_EQ(Error(R"({"a":1} x)"), "not valid JSON at byte 9");
  EXPECT_EQ(Error("{\"a\":\"\xFF\"}"), "not valid JSON at byte 7");
  EXPECT_EQ(Error("[]"), "must be a JSON object");
  EXPECT_EQ(Error(With("LINUX", R"(,"devices":[{},{"path":"a","path":"b"}])")),
            "linux.devices[1].path: appears twice");
  EXPECT_EQ(Error(With("TOP", R"(,"root":{"path":"x"})")), "root: appears twice");
  EXPECT_THAT(Error(std::string(1 << 20, '[')), ::testing::EndsWith(": nests too deep"));
  EXPECT_EQ(Error(With("TOP", R"(,"hostname":"a\u0000b")")), "hostname: contains a NUL byte");
  EXPECT_EQ(Error(With("LINUX", R"(,"sysctl":{"a\u0000":"b"})")),
            "linux.sysctl: a name contains a NUL byte");
}

TEST(SpecTest, ErrorsNameTheJsonPath) {
  EXPECT_EQ(Error(R"({"ociVersion":"1.0.0"})"), "root: is required");
  EXPECT_EQ(Error(R"({"ociVersion":"1.0.0","root":{}})"), "root.path: is required");
  EXPECT_EQ(Error(With("LINUX", R"(,"resources":{"memory":{"limit":"1"}})")),
            "linux.resources.memory.limit: must be an integer");
  EXPECT_EQ(Error(With("LINUX", R"(,"resources":{"memory":{"limit":9223372036854775808}})")),
            "linux.resources.memory.limit: out of range: 9223372036854775808");
  EXPECT_EQ(Error(With("LINUX", R"(,"resources":{"cpu":{"shares":-1}})")),
            "linux.resources.cpu.shares: out of range: -1");
  EXPECT_EQ(Error(With("LINUX", R"(,"maskedPaths":["/a",1])")),
            "linux.maskedPaths[1]: must be a string");
  EXPECT_EQ(Error(With("LINUX", R"(,"namespaces":[{"type":"moon"}])")),
            "linux.namespaces[0].type: unknown: moon");
  EXPECT_EQ(Error(With("LINUX", R"(,"namespaces":[{"type":"pid"},{"type":"pid"}])")),
            "linux.namespaces[1].type: appears twice: pid");
  EXPECT_EQ(Error(With("LINUX", R"(,"sysctl":{"a":1})")), "linux.sysctl[\"a\"]: must be a string");
  EXPECT_EQ(Error(With("LINUX", R"(,"devices":[{"path":"/dev/x","type":"z"}])")),
            "linux.devices[0].type: must be c, b, u or p");
  EXPECT_EQ(Error(With("TOP", R"(,"mounts":[{"destination":""}])")),
            "mounts[0].destination: must not be empty");
  EXPECT_EQ(Error(With("TOP", R"(,"mounts":[3])")), "mounts[0]: must be an object");
  EXPECT_EQ(Error(R"({"ociVersion":"1.0.0","root":{"path":"r","readonly":1}})"),
            "root.readonly: must be true or false");
  EXPECT_EQ(Error(With("TOP", R"(,"hostname":1)")), "hostname: must be a string");
  EXPECT_EQ(Error(With("LINUX", R"(,"uidMappings":[{"containerID":0,"hostID":1,"size":0}])")),
            "linux.uidMappings[0].size: must not be 0");
  EXPECT_EQ(
      Error(With("LINUX", R"(,"uidMappings":[{"containerID":0,"hostID":4294967290,"size":6}])")),
      "linux.uidMappings[0].size: reaches past the last id");
  EXPECT_EQ(Error(With("LINUX", R"(,"uidMappings":[{"containerID":0,"hostID":1,"size":6}])")),
            "linux.gidMappings: is needed beside the other");
  EXPECT_EQ(Error(With("PROCESS", R"(,"user":{"uid":0,"gid":0,"additionalGids":["a"]})")),
            "process.user.additionalGids[0]: must be an integer");
  EXPECT_EQ(Error(With("PROCESS", R"(,"rlimits":[{"type":"RLIMIT_CORE","soft":2,"hard":1}])")),
            "process.rlimits[0].soft: is above the hard limit");
  EXPECT_EQ(Error(With("PROCESS", R"(,"oomScoreAdj":1001)")),
            "process.oomScoreAdj: out of range: 1001");
  EXPECT_EQ(Error(R"({"ociVersion":"1.0.0","process":{"args":[],"cwd":"/"}})"),
            "process.args: must not be empty");
  EXPECT_EQ(Error(R"({"ociVersion":"1.0.0","process":{"args":["a"],"cwd":"x"}})"),
            "process.cwd: must be an absolute path");
  EXPECT_EQ(Error(R"({"ociVersion":"2.0.0","process":{"args":["a"],"cwd":"/"}})"),
            "ociVersion: not a version 1: 2.0.0");
}

struct Bad {
  const char* member;
  const char* error;
};

TEST(SpecTest, WhatTheTextForbidsIsRefused) {
  const Bad process[] = {
      {R"("user":{"gid":0})", "user.uid: is required"},
      {R"("user":{"uid":4294967295,"gid":0})", "user.uid: out of range: 4294967295"},
      {R"("user":{"uid":0,"gid":0,"umask":512})", "user.umask: out of range: 512"},
      {R"("rlimits":[{"type":"RLIMIT_CORE","soft":1}])", "rlimits[0].hard: is required"},
      {R"("scheduler":{})", "scheduler.policy: is required"},
      {R"("scheduler":{"policy":"SCHED_FIFO"})", "scheduler.priority: out of range: 0"},
      {R"("scheduler":{"policy":"SCHED_OTHER","priority":1})",
       "scheduler.priority: SCHED_OTHER has none"},
      {R"("scheduler":{"policy":"SCHED_OTHER","nice":20})", "scheduler.nice: out of range: 20"},
      {R"("scheduler":{"policy":"SCHED_OTHER","period":1})",
       "scheduler.runtime: it, deadline and period are not of SCHED_OTHER"},
      {R"("scheduler":{"policy":"SCHED_DEADLINE","runtime":2,"deadline":1})",
       "scheduler.runtime: must be above 0, not above the deadline, and that not above the period"},
      {R"("ioPriority":{"class":"IOPRIO_CLASS_BE"})", "ioPriority.priority: is required"},
      {R"("ioPriority":{"class":"IOPRIO_CLASS_BE","priority":8})",
       "ioPriority.priority: out of range: 8"},
      {R"("ioPriority":{"class":"IOPRIO_CLASS_NONE","priority":0})",
       "ioPriority.class: unknown: \"IOPRIO_CLASS_NONE\"; known: IOPRIO_CLASS_RT, "
       "IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE"},
      {R"("execCPUAffinity":{"final":"3-1"})",
       "execCPUAffinity.final: is no list of CPUs: \"3-1\""},
  };
  for (const Bad& bad : process) {
    EXPECT_EQ(Error(With("PROCESS", absl::StrCat(",", bad.member))),
              absl::StrCat("process.", bad.error));
  }
  const Bad tops[] = {
      {R"("hooks":{"prestart":[{}]})", "hooks.prestart[0].path: is required"},
      {R"("hooks":{"poststop":[{"path":"x"}]})",
       "hooks.poststop[0].path: must be an absolute path"},
      {R"("hooks":{"createContainer":[{"path":"/x","timeout":0}]})",
       "hooks.createContainer[0].timeout: must be greater than zero"},
      {R"("hooks":{"startContainer":{}})", "hooks.startContainer: must be an array"},
      {R"("annotations":{"a":1})", "annotations[\"a\"]: must be a string"},
  };
  for (const Bad& bad : tops) {
    EXPECT_EQ(Error(With("TOP", absl::StrCat(",", bad.member))), bad.error);
  }
  for (const char* version : {"1.0", "1.2.x", "1.2.0-", "1..0", "01.2.0", "v1.0.0"}) {
    EXPECT_THAT(Error(absl::StrCat(R"({"ociVersion":")", version, R"(","root":{"path":"r"}})")),
                ::testing::StartsWith("ociVersion: is no semantic version"))
        << version;
  }
  EXPECT_TRUE(ParseSpec(R"({"ociVersion":"1.2.0-rc.1+dev","root":{"path":"r"}})").ok());
}

TEST(SpecTest, WhatTheTextForbidsOfLinuxIsRefused) {
  const Bad all[] = {
      {R"("namespaces":[{"type":"pid","path":"ns"}])",
       "namespaces[0].path: must be an absolute path"},
      {R"("uidMappings":[{"hostID":0,"size":1}])", "uidMappings[0].containerID: is required"},
      {R"("uidMappings":[{"containerID":0,"hostID":0,"size":5},)"
       R"({"containerID":4,"hostID":9,"size":1}])",
       "uidMappings[1].size: overlaps another entry"},
      {R"("devices":[{"path":"/dev/x","type":"c","major":1}])", "devices[0].minor: is required"},
      {R"("devices":[{"path":"/dev/x","type":"c","major":4096,"minor":0}])",
       "devices[0].major: is no device number"},
      {R"("maskedPaths":["proc"])", "maskedPaths[0]: must be an absolute path"},
      {R"("readonlyPaths":["/a","b"])", "readonlyPaths[1]: must be an absolute path"},
      {R"("timeOffsets":{"monotonic":{"secs":1}})", "timeOffsets: needs a new time namespace"},
      {R"("timeOffsets":{"realtime":{"secs":1}})",
       "timeOffsets: unknown: \"realtime\"; known: monotonic, boottime"},
      {R"("timeOffsets":{"monotonic":{"nanosecs":1000000000}})",
       "timeOffsets[\"monotonic\"].nanosecs: is a second or more"},
      {R"("personality":{})", "personality.domain: is required"},
      {R"("personality":{"domain":"LINUX","flags":["X"]})",
       "personality.flags: the specification knows none"},
      {R"("memoryPolicy":{"mode":"MPOL_BIND"})",
       "memoryPolicy.nodes: MPOL_BIND needs one at least"},
      {R"("memoryPolicy":{"mode":"MPOL_LOCAL","nodes":"0"})",
       "memoryPolicy.nodes: MPOL_LOCAL takes none"},
      {R"("memoryPolicy":{"mode":"MPOL_BIND","nodes":"0,"})",
       "memoryPolicy.nodes: is no list of memory nodes: \"0,\""},
      {R"("intelRdt":{"closID":"../x"})", "intelRdt.closID: is no name of a directory: ../x"},
      {R"("intelRdt":{"memBwSchema":"L3:0=f"})", "intelRdt.memBwSchema: must begin with MB:"},
      {R"("intelRdt":{"schemata":["L3:0=f\nMB:0=1"]})", "intelRdt.schemata: contains a newline"},
      {R"("netDevices":{"a/b":{}})", "netDevices: no interface name: a/b"},
      {R"("netDevices":{"a":{"name":"0123456789abcdef"}})",
       "netDevices[\"a\"].name: no interface name: 0123456789abcdef"},
      {R"("netDevices":{"a":{},"b":{"name":"a"}})", "netDevices[\"b\"].name: appears twice: a"},
      {R"("seccomp":"x")", "seccomp: must be an object"},
      {R"("mountLabel":1)", "mountLabel: must be a string"},
  };
  for (const Bad& bad : all) {
    EXPECT_EQ(Error(With("LINUX", absl::StrCat(",", bad.member))),
              absl::StrCat("linux.", bad.error));
  }
}

TEST(SpecTest, WhatTheTextForbidsOfResourcesIsRefused) {
  const Bad all[] = {
      {R"("cpu":{"idle":2})", "cpu.idle: must be 0 or 1: 2"},
      {R"("cpu":{"quota":5,"burst":6})", "cpu.burst: is above the quota"},
      {R"("cpu":{"quota":-2})", "cpu.quota: out of range: -2"},
      {R"("cpu":{"cpus":"a"})", "cpu.cpus: is no list of numbers: \"a\""},
      {R"("memory":{"limit":-2})", "memory.limit: out of range: -2"},
      {R"("memory":{"limit":5,"swap":4})", "memory.swap: is below the limit"},
      {R"("memory":{"limit":-1,"swap":4})", "memory.swap: memory alone has no limit"},
      {R"("memory":{"kernel":"x"})", "memory.kernel: must be an integer"},
      {R"("memory":{"swappiness":101})", "memory.swappiness: out of range: 101"},
      {R"("memory":{"checkBeforeUpdate":1})", "memory.checkBeforeUpdate: must be true or false"},
      {R"("pids":{})", "pids.limit: is required"},
      {R"("blockIO":{"weight":1001})", "blockIO.weight: out of range: 1001"},
      {R"("blockIO":{"weightDevice":[{"major":1,"minor":2}]})",
       "blockIO.weightDevice[0].weight: it or leafWeight is required"},
      {R"("blockIO":{"throttleReadBpsDevice":[{"major":1,"minor":2}]})",
       "blockIO.throttleReadBpsDevice[0].rate: is required"},
      {R"("blockIO":{"throttleReadIOPSDevice":[{"major":1,"minor":2,"rate":1},)"
       R"({"major":1,"minor":2,"rate":2}]})",
       "blockIO.throttleReadIOPSDevice[1].minor: the device appears twice"},
      {R"("hugepageLimits":[{"pageSize":"2mb","limit":1}])",
       "hugepageLimits[0].pageSize: is no page size: 2mb"},
      {R"("hugepageLimits":[{"pageSize":"2MB","limit":1},{"pageSize":"2MB","limit":2}])",
       "hugepageLimits[1].pageSize: appears twice: 2MB"},
      {R"("rdma":{"mlx5_1":{}})", "rdma[\"mlx5_1\"].hcaHandles: it or hcaObjects is required"},
      {R"("rdma":{"a b":{"hcaHandles":1}})", "rdma: no device name: \"a b\""},
      {R"("network":{"classID":4294967296})", "network.classID: out of range: 4294967296"},
      {R"("network":{"priorities":[{"name":"eth0"}]})",
       "network.priorities[0].priority: is required"},
      {R"("devices":[{"access":"rwm"}])", "devices[0].allow: is required"},
      {R"("devices":[{"allow":true,"access":"rx"}])",
       "devices[0].access: must be made of r, w and m: \"rx\""},
      {R"("devices":[{"allow":true,"major":-2}])", "devices[0].major: out of range: -2"},
      {R"("unified":{"../memory.max":"1"})", "unified[\"../memory.max\"]: is no file of a cgroup"},
      {R"("unified":{"x/memory.max":"1"})", "unified[\"x/memory.max\"]: is no file of a cgroup"},
      {R"("unified":{"memory":"1"})", "unified[\"memory\"]: is no file of a cgroup"},
      {R"("unified":{"cgroup.procs":"1"})", "unified[\"cgroup.procs\"]: is no setting"},
      {R"("unified":{"memory.max":""})", "unified[\"memory.max\"]: has no value"},
  };
  for (const Bad& bad : all) {
    EXPECT_EQ(ParseResources(absl::StrCat("{", bad.member, "}")).status().message(), bad.error);
  }
}

}  // namespace
}  // namespace berth::shim::oci
