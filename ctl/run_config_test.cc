#include "ctl/run_config.h"

#include <gtest/gtest.h>

namespace berth::ctl {
namespace {

absl::StatusOr<RunRequest> Make(const std::vector<std::string>& words) {
  auto args = Args::Parse(RunFlags(), words, Order::kBeforeTheRest);
  if (!args.ok()) return args.status();
  return MakeRunRequest(*args, "0123456789abcdef");
}

TEST(RunConfigTest, APodIsAskedForThatThisVersionServes) {
  const auto run = Make({"busybox:1", "sh", "-c", "true"});
  ASSERT_TRUE(run.ok());
  EXPECT_EQ(run->name, "run-01234567");
  const auto& options = run->pod.linux().security_context().namespace_options();
  EXPECT_EQ(options.network(), cri::NODE);
  EXPECT_EQ(options.pid(), cri::CONTAINER);
  EXPECT_EQ(run->container.args_size(), 3);
  EXPECT_EQ(run->container.image().image(), "busybox:1");
  EXPECT_EQ(run->pod.log_directory(), "/var/log/berthctl/run-01234567-01234567");
}

TEST(RunConfigTest, FlagsReachTheContainer) {
  const auto run = Make({"-d", "--name", "web", "-e", "A=b=c", "-v", "/src:/dst:ro", "img"});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_TRUE(run->detach);
  EXPECT_EQ(run->container.envs(0).key(), "A");
  EXPECT_EQ(run->container.envs(0).value(), "b=c");
  EXPECT_TRUE(run->container.mounts(0).readonly());
  EXPECT_EQ(run->container.mounts(0).container_path(), "/dst");
}

TEST(RunConfigTest, WhatCannotBeIsRefusedByName) {
  const std::vector<std::string> cases[] = {
      {},
      {"--name", "../x", "img"},
      {"--name", "", "img"},
      {"-e", "=x", "img"},
      {"-e", "x", "img"},
      {"-v", "src:/dst", "img"},
      {"-v", "/src:/dst:rw:x", "img"},
      {"--log-dir", "relative", "img"},
      {"-d", "--rm", "img"},
  };
  for (const auto& words : cases) {
    EXPECT_EQ(Make(words).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace berth::ctl
