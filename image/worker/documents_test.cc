#include "image/worker/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace berth::worker {
namespace {

using ::testing::HasSubstr;

constexpr char kIndexType[] = "application/vnd.oci.image.index.v1+json";
constexpr char kManifestType[] = "application/vnd.oci.image.manifest.v1+json";

std::string Hex(char c) { return std::string(64, c); }

std::string Descriptor(const std::string& type, char digit) {
  return absl::StrCat("{\"mediaType\":\"", type, "\",\"digest\":\"sha256:", Hex(digit),
                      "\",\"size\":7}");
}

TEST(ParseConfigTest, KeepsWhatARuntimeUses) {
  const auto config = ParseConfig(absl::StrCat(
      R"({"architecture":"arm64","os":"linux","variant":"v8","created":"2020","config":{
        "Entrypoint":["/a","b"],"Cmd":null,"Env":["A=1","B=ü"],"User":"1:2","WorkingDir":"/w",
        "StopSignal":"SIGINT","Volumes":{"/v":{},"/u":{}},"Labels":{"k":"v"}},
        "rootfs":{"type":"layers","diff_ids":["sha256:)",
      Hex('a'), "\"]}}"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->config.entrypoint(), ::testing::ElementsAre("/a", "b"));
  EXPECT_EQ(config->config.cmd_size(), 0);
  EXPECT_THAT(config->config.env(), ::testing::ElementsAre("A=1", "B=ü"));
  EXPECT_EQ(config->config.user(), "1:2");
  EXPECT_EQ(config->config.working_dir(), "/w");
  EXPECT_EQ(config->config.stop_signal(), "SIGINT");
  EXPECT_THAT(config->config.volumes(), ::testing::ElementsAre("/u", "/v"));
  EXPECT_EQ(config->config.labels().at("k"), "v");
  EXPECT_EQ(config->config.variant(), "v8");
  ASSERT_EQ(config->diff_ids.size(), 1u);
  EXPECT_EQ(config->diff_ids[0].hex(), Hex('a'));
}

struct BadDocument {
  const char* name;
  std::string text;
  const char* message;
};

TEST(ParseConfigTest, RefusesWhatIsNoConfig) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  std::string wide = "{\"x\":[";
  for (int i = 0; i < 300'000; ++i) wide += "0,";
  wide += "0]}";
  const std::vector<BadDocument> cases = {
      {"empty", "", "not JSON"},
      {"array", "[]", "not a JSON object"},
      {"cut off", "{\"os\":\"li", "not JSON"},
      {"nesting bomb", deep, "nested deeper"},
      {"value bomb", wide, "more than"},
      {"no rootfs", "{}", "rootfs: absent"},
      {"foreign rootfs", R"({"rootfs":{"type":"x"}})", "rootfs.type"},
      {"bad digest", R"({"rootfs":{"type":"layers","diff_ids":["sha256:zz"]}})", "bad digest"},
      {"sha512", R"({"rootfs":{"type":"layers","diff_ids":["sha512:00"]}})", "is not sha256"},
      {"env number", R"({"rootfs":{"type":"layers"},"config":{"Env":[1]}})", "Env: not a string"},
      {"NUL", R"({"rootfs":{"type":"layers"},"config":{"Cmd":["a\u0000b"]}})", "NUL byte"},
      {"not UTF-8", "{\"os\":\"\xff\",\"rootfs\":{\"type\":\"layers\"}}", "not JSON"},
  };
  for (const BadDocument& c : cases) {
    const absl::Status s = ParseConfig(c.text).status();
    EXPECT_FALSE(s.ok()) << c.name;
    EXPECT_THAT(std::string(s.message()), HasSubstr(c.message)) << c.name;
  }
}

TEST(ParseIndexTest, RefusesAmbiguousAndForeignDocuments) {
  const std::string d = Descriptor(kManifestType, 'a');
  const std::vector<BadDocument> cases = {
      {"manifests and layers",
       absl::StrCat(R"({"schemaVersion":2,"layers":[],"manifests":[)", d, "]}"), "ambiguous"},
      {"manifests and config",
       absl::StrCat(R"({"schemaVersion":2,"config":{},"manifests":[)", d, "]}"), "ambiguous"},
      {"body of another type",
       absl::StrCat(R"({"schemaVersion":2,"mediaType":")", kManifestType, R"(","manifests":[]})"),
       "mediaType"},
      {"schema 1", R"({"schemaVersion":1,"manifests":[]})", "schemaVersion"},
      {"no size",
       absl::StrCat(R"({"schemaVersion":2,"manifests":[{"digest":"sha256:)", Hex('a'),
                    R"(","size":-1}]})"),
       "size"},
  };
  for (const BadDocument& c : cases) {
    const absl::Status s = ParseIndex(c.text, kIndexType).status();
    EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument) << c.name;
    EXPECT_THAT(std::string(s.message()), HasSubstr(c.message)) << c.name;
  }
}

TEST(ParseIndexTest, RefusesMoreDescriptorsThanTheBound) {
  std::string list = Descriptor(kManifestType, 'a');
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&list, ",", Descriptor(kManifestType, 'b'));
  const absl::Status s =
      ParseIndex(absl::StrCat(R"({"schemaVersion":2,"manifests":[)", list, "]}"), "").status();
  EXPECT_THAT(std::string(s.message()), HasSubstr("1001 descriptors"));
}

TEST(ParseManifestTest, TheTypeInsideMustBeTheDescriptors) {
  const std::string text = absl::StrCat(
      R"({"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",)",
      "\"config\":", Descriptor("c", 'c'), ",\"layers\":[]}");
  EXPECT_TRUE(ParseManifest(text, "application/vnd.docker.distribution.manifest.v2+json").ok());
  EXPECT_THAT(std::string(ParseManifest(text, kManifestType).status().message()),
              HasSubstr("in its descriptor"));
}

}  // namespace
}  // namespace berth::worker
