#include "cni/conf_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "cni/plugin_input.h"

namespace berth::cni {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kList[] = R"({
  "cniVersion": "1.0.0", "cniVersions": ["0.4.0", "1.1.0"],
  "name": "test-net", "disableCheck": "true",
  "plugins": [
    {"type": "bridge", "cniVersion": "0.1.0", "mtu": 1400, "ipam": {"type": "host-local"}},
    {"type": "portmap", "capabilities": {"portMappings": true, "dns": false}, "name": "other"}
  ]})";

TEST(ConfListTest, AListIsReadWhole) {
  const absl::StatusOr<ConfList> list = ParseConfList(kList);
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->name, "test-net");
  EXPECT_THAT(list->versions, ElementsAre("1.0.0", "0.4.0", "1.1.0"));
  ASSERT_EQ(list->plugins.size(), 2u);
  EXPECT_EQ(list->plugins[0].type, "bridge");
  EXPECT_EQ(list->plugins[0].json, R"({"type":"bridge","mtu":1400,"ipam":{"type":"host-local"}})");
  EXPECT_THAT(list->plugins[1].capabilities, ElementsAre("portMappings"));
  EXPECT_EQ(list->plugins[1].json, R"({"type":"portmap"})");
  EXPECT_EQ(list->bytes, kList);
}

TEST(ConfListTest, ASinglePluginBecomesAListThatParsesToTheSame) {
  const absl::StatusOr<ConfList> conf = ParseConf(
      R"({"cniVersion":"0.3.1","name":"n","type":"bridge","capabilities":{"ips":true},"x":[1]})");
  ASSERT_TRUE(conf.ok()) << conf.status();
  const absl::StatusOr<ConfList> list = ParseConfList(conf->bytes);
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->name, "n");
  EXPECT_EQ(list->versions, conf->versions);
  ASSERT_EQ(list->plugins.size(), 1u);
  EXPECT_EQ(list->plugins[0].json, conf->plugins[0].json);
  EXPECT_EQ(list->plugins[0].json, R"({"type":"bridge","x":[1]})");
  EXPECT_EQ(list->plugins[0].capabilities, conf->plugins[0].capabilities);
}

TEST(ConfListTest, WithoutAVersionItIsTheFirst) {
  EXPECT_THAT(ParseConf(R"({"name":"n","type":"t"})")->versions, ElementsAre("0.1.0"));
}

TEST(ConfListTest, BrokenListsAreRefusedWithPlaceAndCause) {
  const std::vector<std::pair<std::string, std::string>> broken = {
      {"", "line 1, column 1: "},
      {"{\n \"name\": \"n\",\n \"plugins\": [}\n]}", "line 3, column 14: "},
      {"{\"name\": \"\xff\"}", "line 1, column 11: "},
      {"{\"name\": 1e999}", "number overflow"},
      {"{} x", "line 1, column 4: "},
      {"[]", "not a JSON object"},
      {R"({"plugins":[{"type":"t"}]})", "name: missing"},
      {R"({"name":"","plugins":[{"type":"t"}]})", "name: must begin"},
      {R"({"name":"../x","plugins":[{"type":"t"}]})", "name: must begin"},
      {R"({"name":"a b","plugins":[{"type":"t"}]})", "name: must begin"},
      {R"({"name":7,"plugins":[{"type":"t"}]})", "name: not a string"},
      {R"({"name":"n"})", "plugins: missing"},
      {R"({"name":"n","plugins":[]})", "plugins: not a list of plugins"},
      {R"({"name":"n","plugins":{}})", "plugins: not a list of plugins"},
      {R"({"name":"n","plugins":["bridge"]})", "plugins[0]: not an object"},
      {R"({"name":"n","plugins":[{"type":"t"},{}]})", "plugins[1].type: missing"},
      {R"({"name":"n","plugins":[{"type":"../../bin/x"}]})", "plugins[0].type: must be the name"},
      {R"({"name":"n","plugins":[{"type":"/bin/x"}]})", "plugins[0].type: must be the name"},
      {R"({"name":"n","plugins":[{"type":".."}]})", "plugins[0].type: must be the name"},
      {R"({"name":"n","plugins":[{"type":""}]})", "plugins[0].type: must be the name"},
      {R"({"name":"n","plugins":[{"type":"a\u0000b"}]})", "plugins[0].type: has a NUL byte"},
      {R"({"name":"n","plugins":[{"type":"t","capabilities":[]}]})", "capabilities: not an object"},
      {R"({"name":"n","plugins":[{"type":"t","capabilities":{"a":1}}]})",
       "plugins[0].capabilities.a: not true or false"},
      {R"({"name":"n","cniVersion":1,"plugins":[{"type":"t"}]})", "cniVersion: not a string"},
      {R"({"name":"n","cniVersions":"1","plugins":[{"type":"t"}]})", "cniVersions: not a list"},
      {R"({"name":"n","disableCheck":"no","plugins":[{"type":"t"}]})", "disableCheck: not true"},
      {absl::StrCat(R"({"name":"n","plugins":)", std::string(100000, '[')), "nested deeper"},
  };
  for (const auto& [text, cause] : broken) {
    const absl::Status status = ParseConfList(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text.substr(0, 100);
    EXPECT_THAT(status.message(), HasSubstr(cause)) << text.substr(0, 100);
  }
  EXPECT_THAT(ParseConf(R"({"name":"n","plugins":[{"type":"t"}]})").status().message(),
              HasSubstr("belongs in a file *.conflist"));
}

TEST(PluginInputTest, TheRuntimesKeysAreAdded) {
  const ConfList list = *ParseConfList(kList);
  const std::map<std::string, std::string> args = {{"portMappings", "[]"}, {"dns", "{}"}};
  EXPECT_EQ(PluginInput(list.plugins[0], list.name, "1.0.0", args, ""),
            R"({"cniVersion":"1.0.0","name":"test-net","type":"bridge","mtu":1400,)"
            R"("ipam":{"type":"host-local"}})");
  EXPECT_EQ(PluginInput(list.plugins[1], list.name, "1.0.0", args, R"({"a": 1})"),
            R"({"cniVersion":"1.0.0","name":"test-net","type":"portmap",)"
            R"("runtimeConfig":{"portMappings":[]},"prevResult":{"a": 1}})");
}

}  // namespace
}  // namespace berth::cni
