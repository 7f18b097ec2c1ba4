#include "shim/oci/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"

namespace berth::shim::oci {
namespace {

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
  spec.linux_.namespaces = {{NamespaceType::kPid, ""}, {NamespaceType::kIpc, "fd:7"}};
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
  return spec;
}

std::string Error(absl::string_view json) {
  return std::string(ParseSpec(json).status().message());
}

// A valid document with one more member at a place.
std::string With(absl::string_view place, absl::string_view member) {
  return absl::StrReplaceAll(
      R"({"ociVersion":"1.2.0" TOP,"process":{"args":["a"],"cwd":"/" PROCESS},"linux":{"x":0 LINUX}})",
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
  EXPECT_EQ(again->linux_.namespaces[1].path, "fd:7");
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

TEST(SpecTest, ErrorsNameTheJsonPath) {
  EXPECT_EQ(Error("{"), "not valid JSON");
  EXPECT_EQ(Error("[]"), "must be a JSON object");
  EXPECT_EQ(Error(R"({"ociVersion":"1.0"})"), "process: is required");
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
  EXPECT_EQ(Error(With("TOP", R"(,"mounts":[{"destination":"proc"}])")),
            "mounts[0].destination: must be an absolute path");
  EXPECT_EQ(Error(With("TOP", R"(,"mounts":[3])")), "mounts[0]: must be an object");
  EXPECT_EQ(Error(With("TOP", R"(,"root":{"readonly":1})")),
            "root.readonly: must be true or false");
  EXPECT_EQ(Error(With("TOP", R"(,"hostname":1)")), "hostname: must be a string");
  EXPECT_EQ(Error(With("LINUX", R"(,"uidMappings":[{"containerID":0,"hostID":1,"size":0}])")),
            "linux.uidMappings[0].size: must not be 0");
  EXPECT_EQ(Error(With("LINUX", R"(,"uidMappings":[{"hostID":4294967290,"size":6}])")),
            "linux.uidMappings[0].size: reaches past the last id");
  EXPECT_EQ(Error(With("LINUX", R"(,"uidMappings":[{"hostID":1,"size":6}])")),
            "linux.gidMappings: is needed beside the other");
  EXPECT_EQ(Error(With("PROCESS", R"(,"user":{"additionalGids":["a"]})")),
            "process.user.additionalGids[0]: must be an integer");
  EXPECT_EQ(Error(With("PROCESS", R"(,"rlimits":[{"type":"RLIMIT_CORE","soft":2,"hard":1}])")),
            "process.rlimits[0].soft: is above the hard limit");
  EXPECT_EQ(Error(With("PROCESS", R"(,"oomScoreAdj":1001)")),
            "process.oomScoreAdj: out of range: 1001");
  EXPECT_EQ(Error(R"({"ociVersion":"1.0","process":{"args":[],"cwd":"/"}})"),
            "process.args: must not be empty");
  EXPECT_EQ(Error(R"({"ociVersion":"1.0","process":{"args":["a"],"cwd":"x"}})"),
            "process.cwd: must be an absolute path");
  EXPECT_EQ(Error(R"({"ociVersion":"2.0","process":{"args":["a"],"cwd":"/"}})"),
            "ociVersion: not a version 1: 2.0");
}

TEST(SpecTest, WhatIsKnownAndNotOfferedIsRefusedByName) {
  const auto refused = [](absl::string_view place, absl::string_view member) {
    const absl::Status status = ParseSpec(With(place, member)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
    return std::string(status.message());
  };
  EXPECT_EQ(refused("TOP", R"(,"hooks":{"prestart":[{}]})"), "hooks: is not offered");
  EXPECT_EQ(refused("PROCESS", R"(,"apparmorProfile":"p")"),
            "process.apparmorProfile: \"p\": is not offered");
  EXPECT_EQ(refused("LINUX", R"(,"mountLabel":"x")"), "linux.mountLabel: \"x\": is not offered");
  EXPECT_EQ(refused("LINUX", R"(,"resources":{"cpu":{"idle":1}})"),
            "linux.resources.cpu.idle: 1: is not offered");
  EXPECT_TRUE(ParseSpec(With("PROCESS", R"(,"apparmorProfile":"")")).ok());
  EXPECT_TRUE(
      ParseSpec(With("LINUX", R"(,"resources":{"memory":{"disableOOMKiller":false}})")).ok());
}

}  // namespace
}  // namespace berth::shim::oci
