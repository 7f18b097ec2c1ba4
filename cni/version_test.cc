#include "cni/version.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::cni {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const PluginVersions kDebian{"bridge", false, {"0.3.0", "0.3.1", "0.4.0", "1.0.0"}};
const PluginVersions kNew{"portmap", false, {"0.4.0", "1.0.0", "1.1.0"}};
const PluginVersions kOld{"flannel", false, {"0.1.0", "0.2.0"}};
const PluginVersions kSilent{"script", true, {}};
const PluginVersions kFuture{"next", false, {"1.0.0", "2.0.0"}};

struct Case {
  std::vector<std::string> configured;
  std::vector<PluginVersions> plugins;
  std::string want;
};

TEST(VersionTest, TheConfigurationsNewestThatAllSpeakWins) {
  const std::vector<Case> cases = {
      {{"0.4.0"}, {kDebian, kNew}, "0.4.0"},
      {{"0.4.0", "1.0.0", "1.1.0"}, {kDebian, kNew}, "1.0.0"},
      {{"0.4.0", "1.0.0", "1.1.0"}, {kNew}, "1.1.0"},
      {{"0.3.1"}, {kSilent}, "0.3.1"},
      {{"0.1.0"}, {kOld}, "0.1.0"},
      // Nothing of the configuration's fits.
      {{"1.1.0"}, {kDebian, kNew}, "1.0.0"},
      {{"0.3.1"}, {kDebian, kNew}, "1.0.0"},
      {{"2.0.0"}, {kFuture}, "1.0.0"},
      {{"nonsense"}, {kDebian}, "1.0.0"},
      {{"1.0.0"}, {kOld, kSilent}, "0.2.0"},
  };
  for (const Case& c : cases) {
    const absl::StatusOr<std::string> got = Negotiate(c.configured, c.plugins);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(*got, c.want) << c.configured[0];
  }
}

TEST(VersionTest, NoCommonVersionNamesEachPlugin) {
  const absl::Status status = Negotiate({"1.0.0"}, {kOld, kNew}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("flannel: 0.1.0 0.2.0; portmap: 0.4.0 1.0.0 1.1.0"));
}

TEST(VersionTest, TheAnswerToVersionIsRead) {
  EXPECT_THAT(*ParseVersions(R"({"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]})"),
              ElementsAre("0.4.0", "1.0.0"));
  for (const char* bad :
       {"", "x", "[]", "{}", R"({"supportedVersions":"1.0.0"})", R"({"supportedVersions":[1]})"}) {
    EXPECT_EQ(ParseVersions(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace berth::cni
