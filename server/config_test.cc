#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "server/config_load.h"
#include "server/config_options.h"

namespace berth::server {
namespace {

using ::testing::HasSubstr;

struct BadCase {
  const char* toml;
  const char* message;
};

class BadConfigTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadConfigTest, IsRefusedWithFileLineColumnAndKey) {
  Config config;
  const absl::Status status = ApplyToml(GetParam().toml, "f.toml", &config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadConfigTest,
    ::testing::Values(
        BadCase{"nope = 1", "f.toml:1:1: nope: unknown key"},
        BadCase{"\n[server]\n  nope = 1", "f.toml:3:3: server.nope: unknown key"},
        BadCase{"[nope]\nx = 1", "nope: unknown key"},
        BadCase{"[server.cri_socket]\nx = 1", "server.cri_socket: must be an absolute path"},
        BadCase{"server = 1", "f.toml:1:1: server: unknown key"},
        BadCase{"data_dir = 7", "f.toml:1:1: data_dir: must be an absolute path"},
        BadCase{"data_dir = \"lib\"", "data_dir: must be an absolute path"},
        BadCase{"data_dir = \"/a/../b\"", "data_dir: must be an absolute path"},
        BadCase{"data_dir = \"/a/\"", "data_dir: must be an absolute path"},
        BadCase{"data_dir = \"/a\\nb\"", "data_dir: must be an absolute path"},
        BadCase{"[log]\nlevel = \"loud\"", "f.toml:2:1: log.level: must be one of \"debug\""},
        BadCase{"[log]\nlevel = 1", "log.level: must be one of"},
        BadCase{"[server]\nwaiting_calls_max = 3",
                "server.waiting_calls_max: must be a whole number from 16 to 16384"},
        BadCase{"[server]\nwaiting_calls_max = 1.5", "must be a whole number"},
        BadCase{"[server]\nslow_call_ms = \"1s\"", "must be a whole number from 1 to 3600000"},
        BadCase{"[server]\ncri_socket_group = \"a b\"", "must be a string of letters"},
        BadCase{"[runtime]\nvolatile_overlays = 1", "must be true or false"},
        BadCase{"[runtime]\nshm_mib = [1]", "must be a whole number"},
        BadCase{"a = \n", "f.toml:1:"},
        BadCase{"data_dir = \"/a\"\ndata_dir = \"/b\"", "f.toml:2:"}));

TEST(ConfigTest, EveryKindOfValueArrivesInItsUnit) {
  Config config;
  ASSERT_TRUE(ApplyToml("data_dir = \"/d\"\n[log]\nformat = \"json\"\n"
                        "[server]\nslow_call_ms = 1500\n[image]\nlayer_limit_gib = 2\n"
                        "[runtime]\nvolatile_overlays = false\nshm_mib = 3\n",
                        "f", &config)
                  .ok());
  EXPECT_EQ(config.data_dir, "/d");
  EXPECT_EQ(config.log.format, LogFormat::kJson);
  EXPECT_EQ(config.server.slow_call, absl::Milliseconds(1500));
  EXPECT_EQ(config.image.layer_limit_bytes, 2ll << 30);
  EXPECT_FALSE(config.runtime.volatile_overlays);
  EXPECT_EQ(config.runtime.shm_bytes, 3 << 20);
  EXPECT_EQ(config.origins.at("log.format"), "f:3:1");
}

TEST(ConfigTest, WhatIsPrintedParsesBackToTheSame) {
  Config config;
  ASSERT_TRUE(
      ApplyToml("run_dir = \"/r \\\"x\\\"\"\n[server]\nshutdown_grace_ms = 7\n", "f", &config)
          .ok());
  const std::string printed = Print(config);
  Config again;
  ASSERT_TRUE(ApplyToml(printed, "printed", &again).ok()) << printed;
  again.origins = config.origins;
  EXPECT_EQ(Print(again), printed);
  EXPECT_THAT(printed, HasSubstr("shutdown_grace_ms = 7  # f:3:1"));
}

TEST(ConfigTest, PathsThatCannotWorkTogetherAreRefused) {
  Config config;
  config.run_dir = config.data_dir + "/run";
  EXPECT_THAT(std::string(Validate(config).message()), HasSubstr("must not contain each other"));
  config = Config();
  config.server.admin_socket = config.CriSocket();
  EXPECT_THAT(std::string(Validate(config).message()), HasSubstr("are both"));
  config = Config();
  config.server.cri_socket = "/" + std::string(100, 'x');
  EXPECT_THAT(std::string(Validate(config).message()), HasSubstr("100 bytes, this has 101"));
  config = Config();
  config.runtime.cgroup_root = "/";
  EXPECT_FALSE(Validate(config).ok());
}

class ConfigFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-config-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override {
    auto tmp = os::Open("/tmp", O_RDONLY | O_DIRECTORY);
    EXPECT_TRUE(tmp.ok() && os::RemoveTree(tmp->get(), dir_.substr(5)).ok());
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(dir_ + "/" + name) << text;
  }
  absl::StatusOr<Config> Load(const std::vector<std::string>& args) {
    absl::StatusOr<CommandLine> line = ParseCommandLine(args);
    if (!line.ok()) return line.status();
    return LoadConfig(*line);
  }
  std::string dir_;
};

TEST_F(ConfigFilesTest, DropInsFollowTheFileInNameOrderAndFlagsComeLast) {
  mkdir((dir_ + "/config.d").c_str(), 0700);
  Write("c.toml", "data_dir = \"/file\"\nrun_dir = \"/file-run\"\n[log]\nlevel = \"debug\"\n");
  Write("config.d/20.toml", "run_dir = \"/second\"\n[log]\nlevel = \"warning\"\n");
  Write("config.d/10.toml", "run_dir = \"/first\"\n");
  Write("config.d/30.conf", "not = toml that is read\n");
  Write("config.d/.hidden.toml", "nor = this\n");
  const auto config = Load({"--config", dir_ + "/c.toml", "--log-level=error"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->data_dir, "/file");
  EXPECT_EQ(config->run_dir, "/second");
  EXPECT_EQ(config->log.level, LogLevel::kError);
  EXPECT_EQ(config->origins.at("log.level"), "--log-level");
}

TEST_F(ConfigFilesTest, ANamedFileMustExist) {
  EXPECT_THAT(std::string(Load({"--config", dir_ + "/none.toml"}).status().message()),
              HasSubstr(dir_ + "/none.toml"));
}

TEST_F(ConfigFilesTest, ABadDropInIsNamed) {
  mkdir((dir_ + "/config.d").c_str(), 0700);
  Write("c.toml", "");
  Write("config.d/x.toml", "\nbad = 1\n");
  EXPECT_THAT(std::string(Load({"--config", dir_ + "/c.toml"}).status().message()),
              HasSubstr(dir_ + "/config.d/x.toml:2:1: bad: unknown key"));
}

TEST_F(ConfigFilesTest, RelativePathsOnTheCommandLineAreMeantFromHere) {
  Write("c.toml", "");
  const auto config =
      Load({"--config", dir_ + "/c.toml", "--shim", "./x/../shim", "--root", "/d/"});
  ASSERT_TRUE(config.ok()) << config.status();
  char cwd[4096];
  EXPECT_EQ(config->runtime.shim_path, absl::StrCat(getcwd(cwd, sizeof(cwd)), "/shim"));
  EXPECT_EQ(config->data_dir, "/d");
}

TEST(CommandLineTest, BadWordsAreNamed) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"--nope", "x"}, "unknown flag --nope"},
      {{"--root"}, "flag --root needs a value"},
      {{"--check-config=yes"}, "unknown flag --check-config"},
      {{"serve"}, "unexpected argument \"serve\""},
  };
  for (const auto& [words, message] : cases) {
    EXPECT_EQ(ParseCommandLine(words).status().message(), message);
  }
}

TEST(ConfigDocsTest, TheReferenceAndTheExampleNameEveryKey) {
  const auto reference = os::ReadFile(BERTH_SOURCE_DIR "/docs/operations.md", 1 << 20);
  const auto example = os::ReadFile(BERTH_SOURCE_DIR "/deploy/config.toml", 1 << 20);
  ASSERT_TRUE(reference.ok() && example.ok());
  for (const Option& option : Options()) {
    if (option.key == "failpoints") continue;
    EXPECT_THAT(*reference, HasSubstr(absl::StrCat("`", option.key, "`")));
    const size_t dot = option.key.find('.');
    EXPECT_THAT(*example,
                HasSubstr(absl::StrCat(
                    option.key.substr(dot == absl::string_view::npos ? 0 : dot + 1), " = ")));
  }
  Config config;
  EXPECT_TRUE(ApplyToml(*example, "config.toml", &config).ok());
  // Every value in the example is the default, whether in force or in a comment.
  std::string text = *example;
  for (size_t at = text.find("\n#"); at != std::string::npos; at = text.find("\n#", at)) {
    text.erase(at + 1, text[at + 2] == ' ' ? 0 : 1);
    at += 1;
  }
  Config uncommented;
  ASSERT_TRUE(ApplyToml(text, "config.toml", &uncommented).ok());
  uncommented.origins.clear();
  EXPECT_EQ(Print(uncommented), Print(Config()));
}

}  // namespace
}  // namespace berth::server
