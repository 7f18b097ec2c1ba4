#include "cni/result.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace berth::cni {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kOne[] = R"({"cniVersion":"1.0.0",
  "interfaces":[{"name":"cni0"},{"name":"veth1","sandbox":""},{"name":"eth0","sandbox":"/ns"}],
  "ips":[{"address":"10.1.0.1/16","interface":0},{"address":"10.1.0.5/16","interface":2},
         {"address":"FD00:0::5/64","interface":2},{"address":"127.0.0.1/8"},
         {"address":"10.1.0.5/16"}]})";

TEST(ResultTest, ThePodsAddressesAreFoundInEachVersion) {
  const std::string v02 =
      R"({"cniVersion":"0.2.0","ip4":{"ip":"10.1.0.5/16"},"ip6":{"ip":"fd00::5/64"}})";
  const std::string v04 = R"({"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.1.0.5/16"},
                              {"version":"6","address":"fd00::5/64"}]})";
  const std::string v11 = R"({"cniVersion":"1.1.0","interfaces":[{"name":"eth0","sandbox":"/n",
      "mtu":1400,"socketPath":"/s"}],"ips":[{"address":"10.1.0.5/16","interface":0},
      {"address":"fd00::5/64","interface":0}],"routes":[{"dst":"0.0.0.0/0","mtu":1400}]})";
  const std::vector<std::pair<std::string, std::string>> results = {
      {v02, "0.2.0"}, {v04, "0.4.0"}, {kOne, "1.0.0"}, {v11, "1.1.0"}};
  for (const auto& [text, version] : results) {
    const absl::StatusOr<Result> result = ParseResult(text + "\n", version);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_THAT(result->ips, ElementsAre("10.1.0.5", "fd00::5")) << version;
    EXPECT_EQ(result->json, text) << "the plugin's own bytes";
  }
}

TEST(ResultTest, AResultOfAnotherVersionIsConverted) {
  const std::string v02 = R"({"cniVersion":"0.2.0","ip4":{"ip":"10.1.0.5/16","gateway":"10.1.0.1",
      "routes":[{"dst":"0.0.0.0/0"}]},"dns":{"domain":"d"}})";
  EXPECT_EQ(ParseResult(v02, "1.0.0")->json,
            R"({"cniVersion":"1.0.0","dns":{"domain":"d"},"ips":[{"address":"10.1.0.5/16",)"
            R"("gateway":"10.1.0.1"}],"routes":[{"dst":"0.0.0.0/0"}]})");
  EXPECT_EQ(
      ParseResult(R"({"cniVersion":"1.0.0","ips":[{"address":"fd00::5/64"}]})", "0.4.0")->json,
      R"({"cniVersion":"0.4.0","ips":[{"address":"fd00::5/64","version":"6"}]})");
  EXPECT_EQ(ParseResult(R"({"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.0.0.2/8"}]})",
                        "1.1.0")
                ->json,
            R"({"cniVersion":"1.1.0","ips":[{"address":"10.0.0.2/8"}]})");
  EXPECT_EQ(ParseResult(R"({"cniVersion":"1.0.0","interfaces":[],"ips":[{"address":"10.0.0.2/8"},)"
                        R"({"address":"fd00::5/64"}],"routes":[{"dst":"::/0"}]})",
                        "0.2.0")
                ->json,
            R"({"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/8"},)"
            R"("ip6":{"ip":"fd00::5/64","routes":[{"dst":"::/0"}]}})");
  EXPECT_EQ(ParseResult(R"({"ips":[]})", "1.0.0")->json, R"({"ips":[],"cniVersion":"1.0.0"})");
}

TEST(ResultTest, NoAddressIsNoErrorOfOnePlugin) {
  EXPECT_THAT(ParseResult("{}", "1.0.0")->ips, IsEmpty());
}

TEST(ResultTest, WhatIsNoResultIsRefused) {
  const std::vector<std::pair<std::string, std::string>> broken = {
      {"", "printed no result"},
      {" \n", "printed no result"},
      {"hello\x01\nworld", "printed no JSON but \"hello? world\""},
      {"[]", "not a JSON object"},
      {R"({"cniVersion":"9.9.9"})", "not a known version"},
      {R"({"cniVersion":1})", "cniVersion: not a string"},
      {R"({"ips":{}})", "ips: not a list"},
      {R"({"ips":[1]})", "ips: has something that is not an object"},
      {R"({"interfaces":["x"]})", "interfaces: has something"},
      {R"({"routes":"x"})", "routes: not a list"},
      {R"({"ips":[{}]})", "ips[0].address: missing"},
      {R"({"ips":[{"address":"10.0.0.1/999"}]})", "ips[0].address: \"10.0.0.1/999\" is not"},
      {R"({"ips":[{"address":"10.0.0.1"}]})", "is not an address with a prefix length"},
      {R"({"ips":[{"address":"10.0.0.1/-1"}]})", "is not an address with a prefix length"},
      {R"({"ips":[{"address":"pod/24"}]})", "is not an address with a prefix length"},
      {R"({"ips":[{"address":"10.0.0.1/8","interface":0}]})", "0 of 0 interfaces"},
      {R"({"ips":[{"address":"10.0.0.1/8","interface":"a"}]})", "interface: not an integer"},
      {R"({"cniVersion":"0.2.0","ip4":[]})", "ip4: not an object"},
      {R"({"cniVersion":"0.2.0","ip4":{}})", "ip4.ip: missing"},
      {absl::StrCat(R"({"x":)", std::string(500000, '['), ""), "nested deeper"},
  };
  for (const auto& [text, cause] : broken) {
    const absl::Status status = ParseResult(text, "1.0.0").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << text.substr(0, 80);
    EXPECT_THAT(status.message(), HasSubstr(cause)) << text.substr(0, 80);
  }
}

}  // namespace
}  // namespace berth::cni
