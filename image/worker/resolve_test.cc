#include "image/worker/resolve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "image/worker/testing/test_registry.h"

namespace berth::worker {
namespace {

using namespace testing;  // NOLINT: Content and its kin
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kIndexType[] = "application/vnd.oci.image.index.v1+json";

class Fetcher : public BlobFetcher {
 public:
  explicit Fetcher(const Content* content) : content_(content) {}
  absl::StatusOr<registry::ManifestBody> GetManifest(const std::string& reference) override {
    asked.push_back(reference);
    const auto it = content_->manifests.find(reference);
    if (it == content_->manifests.end()) return absl::NotFoundError("no " + reference);
    return registry::ManifestBody{it->second.bytes, it->second.type};
  }
  absl::StatusOr<std::string> GetBlob(const Digest& digest, uint64_t) override {
    const auto it = content_->blobs.find(digest.str());
    if (it == content_->blobs.end()) return absl::NotFoundError("no " + digest.str());
    return it->second;
  }
  std::vector<std::string> asked;

 private:
  const Content* const content_;
};

class ResolveTest : public ::testing::Test {
 protected:
  absl::StatusOr<Plan> Resolve(const std::string& tag, const std::string& architecture = "",
                               const std::string& variant = "") {
    PullRequest request;
    request.set_tag(tag);
    request.mutable_platform()->set_architecture(architecture);
    request.mutable_platform()->set_variant(variant);
    asked_.clear();
    Fetcher fetcher(&content_);
    auto plan = ResolveImage(request, &fetcher);
    asked_ = fetcher.asked;
    return plan;
  }
  std::string ErrorOf(const std::string& tag, absl::StatusCode code) {
    const absl::Status status = Resolve(tag).status();
    EXPECT_EQ(status.code(), code) << tag << ": " << status;
    return std::string(status.message());
  }
  // An image of one layer with this text; the descriptor names the platform.
  std::string Image(const std::string& text, const std::string& architecture,
                    const std::string& variant = "") {
    std::string descriptor =
        content_.AddImage({PlainLayer(Tar({File("f", text)}))}, "", architecture);
    if (variant.empty()) return descriptor;
    return absl::StrReplaceAll(descriptor,
                               {{"\"}}", absl::StrCat("\",\"variant\":\"", variant, "\"}}")}});
  }
  std::string Nested(const std::string& digest, const std::string& extra = "") {
    return absl::StrCat("{\"mediaType\":\"", kIndexType, "\",\"digest\":\"", digest,
                        "\",\"size\":", content_.manifests[digest].bytes.size(), extra, "}");
  }
  static std::string DigestIn(const std::string& descriptor) {
    return descriptor.substr(descriptor.find("sha256:"), 71);
  }
  void ExpectTaken(const absl::StatusOr<Plan>& plan, const std::string& descriptor) {
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ(plan->images[0].manifest_digest(), DigestIn(descriptor));
  }
  // A manifest under `tag` with one piece of its text replaced.
  void Twist(const std::string& tag, const std::string& from, const std::string& to) {
    content_.AddImage({PlainLayer(Tar({File("f", tag)}))}, tag);
    std::string& bytes = content_.manifests[tag].bytes;
    const std::string twisted = absl::StrReplaceAll(bytes, {{from, to}});
    ASSERT_NE(twisted, bytes);
    bytes = twisted;
  }

  Content content_;
  std::vector<std::string> asked_;
};

TEST_F(ResolveTest, OfTwoVariantsTheOneAskedForIsTaken) {
  const std::string v8 = Image("8", "arm", "v8");
  const std::string v7 = Image("7", "arm", "v7");
  const std::string amd = Image("a", "amd64");
  content_.AddIndex({amd, v8, v7}, "first");
  content_.AddIndex({v7, amd, v8}, "second", /*docker=*/true);
  for (const char* tag : {"first", "second"}) {
    ExpectTaken(Resolve(tag, "arm", "v7"), v7);
    ExpectTaken(Resolve(tag, "arm", "v8"), v8);
    ExpectTaken(Resolve(tag, "amd64"), amd);
  }
  EXPECT_EQ(asked_.size(), 2u);  // the index and what was chosen
}

TEST_F(ResolveTest, TheIndexIsWhatTheTagNamesAndTheManifestWhatIsUsed) {
  const std::string amd = Image("a", "amd64");
  const std::string index = content_.AddIndex({Image("s", "s390x"), amd}, "1");
  const auto plan = Resolve("1", "amd64");
  ExpectTaken(plan, amd);
  EXPECT_EQ(plan->images[0].repo_digest(), index);
  EXPECT_THAT(asked_, ElementsAre("1", DigestIn(amd)));
}

TEST_F(ResolveTest, AnUnknownPlatformIsNotFoundAndTheMessageNamesThoseThereAre) {
  content_.AddIndex({Image("a", "amd64"), Image("7", "arm", "v7")}, "1");
  const absl::Status status = Resolve("1", "riscv64").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("no image for linux/riscv64, it has linux/amd64, linux/arm/v7"));
  content_.AddIndex({}, "empty");
  EXPECT_THAT(ErrorOf("empty", absl::StatusCode::kNotFound), HasSubstr("it has none"));
}

TEST_F(ResolveTest, NestedIndexesAreFollowedUnlessTheyAreForOthers) {
  const std::string amd = Image("a", "amd64");
  const std::string inner = content_.AddIndex({amd}, "inner");
  const std::string others = content_.AddIndex({Image("s", "s390x")}, "others");
  content_.AddIndex(
      {Nested(others, R"(,"platform":{"os":"linux","architecture":"s390x"})"), Nested(inner)}, "1");
  ExpectTaken(Resolve("1", "amd64"), amd);
  EXPECT_THAT(asked_, ElementsAre("1", inner, DigestIn(amd)));
}

TEST_F(ResolveTest, IndexesTooDeepOrTooManyAreRefused) {
  std::string digest = content_.AddIndex({Image("a", "amd64")}, "0");
  for (int i = 1; i < 6; ++i) digest = content_.AddIndex({Nested(digest)}, absl::StrCat(i));
  EXPECT_TRUE(Resolve("3", "amd64").ok());
  EXPECT_THAT(ErrorOf("5", absl::StatusCode::kInvalidArgument), HasSubstr("nested deeper than 4"));
  std::vector<std::string> many;
  many.reserve(20);
  for (int i = 0; i < 20; ++i) {
    many.push_back(
        Nested(content_.AddIndex({Image(absl::StrCat(i), "s390x")}, absl::StrCat("m", i))));
  }
  content_.AddIndex(many, "wide");
  EXPECT_THAT(ErrorOf("wide", absl::StatusCode::kInvalidArgument), HasSubstr("more than 16"));
}

TEST_F(ResolveTest, WhatIsNoTypeOrAVagueOneIsSeenByItsFields) {
  const std::string amd = Image("a", "amd64");
  content_.AddIndex({amd}, "index");
  for (const char* type : {"", "application/json", "text/plain", "application/octet-stream"}) {
    content_.manifests["index"].type = type;
    ExpectTaken(Resolve("index", "amd64"), amd);
    content_.manifests["one"] = {type, content_.manifests[DigestIn(amd)].bytes};
    ExpectTaken(Resolve("one", "amd64"), amd);
  }
}

TEST_F(ResolveTest, Schema1IsRefused) {
  content_.manifests["signed"] = {"application/vnd.docker.distribution.manifest.v1+prettyjws",
                                  R"({"schemaVersion":1,"fsLayers":[]})"};
  EXPECT_THAT(ErrorOf("signed", absl::StatusCode::kUnimplemented), HasSubstr("schema 1"));
  content_.manifests["untyped"] = {"application/json",
                                   R"({"schemaVersion":1,"fsLayers":[],"history":[]})"};
  EXPECT_THAT(ErrorOf("untyped", absl::StatusCode::kInvalidArgument),
              HasSubstr("schemaVersion: not 2"));
}

TEST_F(ResolveTest, BytesThatAreNotAsTheirDescriptorSaysAreDataLoss) {
  const std::string amd = Image("a", "amd64");
  content_.AddIndex({amd}, "1");
  std::string& bytes = content_.manifests[DigestIn(amd)].bytes;
  bytes += " ";
  EXPECT_THAT(ErrorOf("1", absl::StatusCode::kDataLoss), HasSubstr("its descriptor says"));
  bytes.pop_back();
  bytes[bytes.find("layers")] = 'L';
  EXPECT_THAT(ErrorOf("1", absl::StatusCode::kDataLoss), HasSubstr("the digest does not match"));

  content_.AddImage({PlainLayer(Tar({File("f", "c")}))}, "config");
  for (auto& [digest, blob] : content_.blobs) {
    if (blob[0] == '{') blob[1] = ' ';
  }
  EXPECT_THAT(ErrorOf("config", absl::StatusCode::kDataLoss), HasSubstr("read image config"));
}

TEST_F(ResolveTest, ADigestInTheRequestBindsTheDocument) {
  content_.AddImage({PlainLayer(Tar({File("f", "x")}))}, "1");
  const std::string other = DigestOf("other").str();
  content_.manifests[other] = content_.manifests["1"];
  PullRequest request;
  request.set_tag("1");
  request.set_digest(other);
  Fetcher fetcher(&content_);
  const absl::Status status = ResolveImage(request, &fetcher).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(fetcher.asked, ElementsAre(other));
}

TEST_F(ResolveTest, ManifestsThatCannotBeAreRefusedByField) {
  struct Case {
    const char* tag;
    const char* from;
    const char* to;
    absl::StatusCode code;
    const char* text;
  };
  const Case cases[] = {
      {"artifact", "image.config.v1+json", "artifact.v1+json", absl::StatusCode::kInvalidArgument,
       "is not an image's"},
      {"layer-type", "image.layer.v1.tar", "image.layer.v9.rar", absl::StatusCode::kUnimplemented,
       "layer sha256:"},
      {"sha512",
       "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\""
       ":\"sha256:",
       "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":"
       "\"sha512:",
       absl::StatusCode::kUnimplemented, "is not sha256"},
      {"no-layers", "\"layers\"", "\"other\"", absl::StatusCode::kInvalidArgument, "layers"},
      {"both", "\"layers\"", "\"manifests\":[],\"layers\"", absl::StatusCode::kInvalidArgument,
       "ambiguous"},
      {"huge-config", "\"size\":", "\"size\":9", absl::StatusCode::kDataLoss, ""},
      {"negative", "\"size\":", "\"size\":-", absl::StatusCode::kInvalidArgument, "not a size"},
  };
  for (const Case& c : cases) {
    Twist(c.tag, c.from, c.to);
    EXPECT_THAT(ErrorOf(c.tag, c.code), HasSubstr(c.text)) << c.tag;
  }
}

}  // namespace
}  // namespace berth::worker
