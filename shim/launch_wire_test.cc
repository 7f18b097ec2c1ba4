#include "shim/launch_wire.h"

#include <gtest/gtest.h>

namespace berth::shim {
namespace {

LaunchDocument Document() {
  LaunchDocument document;
  document.container_id = std::string(64, 'a');
  document.spec.process.args = {"/bin/true"};
  document.spec.mounts = {{"/data", "bind", "", {"ro"}}};
  document.root = {{"layers/2", "layers/1"}, "upper", "work", false};
  document.bundle = "/bundle";
  document.seccomp.flags = 8;
  document.seccomp.listener_path = "/run/agent";
  document.seccomp.listener_metadata = "meta";
  document.boot_id = "b00t";
  document.oom_score_adj = -998;
  document.keep_stdin_open = true;
  document.log_limits = {1 << 20, 4096, 65536};
  document.cgroup_v1 = {{"cpu,cpuacct", 16}, {"name=systemd", 17}};
  document.cgroup_v2 = true;
  document.mount_trees = {{0, 18}};
  document.namespaces = {{oci::NamespaceType::kIpc, 19}};
  return document;
}

TEST(LaunchWireTest, WhatIsWrittenParsesToTheSameText) {
  const std::string json = ToJson(Document());
  const absl::StatusOr<LaunchDocument> again = ParseLaunchDocument(json);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ToJson(*again), json);
  EXPECT_EQ(again->cgroup_v1, Document().cgroup_v1);
  EXPECT_EQ(again->mount_trees, Document().mount_trees);
  EXPECT_EQ(again->namespaces, Document().namespaces);
  EXPECT_FALSE(again->root.is_volatile);
  EXPECT_EQ(again->log_limits.file_bytes, 1U << 20);
  EXPECT_EQ(again->log_limits.rate_bytes, 4096U);
  EXPECT_EQ(again->log_limits.burst_bytes, 65536U);
  EXPECT_EQ(again->bundle, "/bundle");
  EXPECT_EQ(again->seccomp.flags, 8u);
  EXPECT_EQ(again->seccomp.listener_path, "/run/agent");
  EXPECT_EQ(again->seccomp.listener_metadata, "meta");
}

TEST(LaunchWireTest, AnotherVersionIsRefused) {
  std::string json = ToJson(Document());
  const size_t at = json.find("\"version\":2");
  json.replace(at, 11, "\"version\":3");
  EXPECT_EQ(ParseLaunchDocument(json).status().message(), "launch document: version: unknown: 3");
}

TEST(LaunchWireTest, ATreeForAMountThatIsNotThereIsRefused) {
  LaunchDocument document = Document();
  document.mount_trees = {{1, 18}};
  EXPECT_EQ(ParseLaunchDocument(ToJson(document)).status().message(),
            "launch document: mountTrees[0].mount: no such mount: 1");
}

TEST(LaunchWireTest, AnErrorInTheSpecNamesThePathInTheSpec) {
  LaunchDocument document = Document();
  document.spec.process.args.clear();
  EXPECT_EQ(ParseLaunchDocument(ToJson(document)).status().message(),
            "process.args: must not be empty");
}

}  // namespace
}  // namespace berth::shim
