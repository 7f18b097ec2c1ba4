// The real worker against a registry that lies, and against Debian's docker-registry.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "image/worker/testing/real_registry.h"
#include "image/worker/testing/test_registry.h"
#include "image/worker/testing/worker_run.h"
#include "tests/fixtures/leak.h"

namespace berth::worker {
namespace {

using namespace testing;  // NOLINT: TempDir, Content and their kin
using ::testing::HasSubstr;
using ::testing::Not;

std::string Noise(size_t size) {
  std::string text(size, '\0');
  uint32_t x = 1;
  for (char& c : text) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  return text;
}

class PullTest : public ::testing::Test {
 protected:
  PullTest() {
    content_.AddImage({first_, second_}, "1");
    EXPECT_EQ(mkdir(staging_.c_str(), 0700), 0);
  }

  PullRequest Request(const std::string& authority, const std::string& tag = "1") const {
    PullRequest r;
    r.set_registry(authority);
    r.set_repository("team/app");
    r.set_tag(tag);
    r.set_no_progress_timeout_ms(1000);
    return r;
  }
  absl::StatusOr<WorkerResult> PullFrom(const LyingRegistry& registry) {
    return RunPull(Request(registry.authority()), staging_);
  }
  // Everything honest but what `lie` answers.
  using Lie = std::function<std::optional<Reply>(const SeenRequest&)>;
  LyingRegistry::Handler But(const Lie& lie) {
    return [this, lie](const SeenRequest& r) {
      std::optional<Reply> reply = lie(r);
      return reply.has_value() ? *reply : Honest(content_, r);
    };
  }
  bool IsFirstLayer(const SeenRequest& r) const {
    return absl::StrContains(r.target, first_.digest);
  }
  void ExpectWhole(const absl::StatusOr<WorkerResult>& result) {
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->layers.size(), 2u);
    EXPECT_EQ(result->wait_status, 0);
    const std::string& name = result->layers.at(first_.diff_id).directory();
    EXPECT_EQ(os::ReadFile(staging_ + "/" + name + "/big", 1 << 22).value_or(""), Noise(300'000));
  }

  TempDir dir_;
  const std::string staging_ = dir_.path() + "/staging";
  const LayerSpec first_ = GzipLayer(Tar({File("big", Noise(300'000))}));
  const LayerSpec second_ = ZstdLayer(Tar({File("small", "hello"), File(".wh.gone", "")}));
  Content content_;
};

TEST_F(PullTest, AnImageIsPlannedAndUnpacked) {
  LyingRegistry registry(But([](const SeenRequest&) { return std::nullopt; }));
  const auto result = PullFrom(registry);
  ExpectWhole(result);
  ASSERT_TRUE(result.ok());
  const PlannedImage& image = result->plan.images(0);
  EXPECT_EQ(image.manifest_digest(), DigestOf(content_.manifests["1"].bytes).str());
  EXPECT_EQ(image.repo_digest(), image.manifest_digest());
  EXPECT_EQ(image.config().cmd(0), "/x");
  EXPECT_EQ(image.layers_size(), 2);
}

TEST_F(PullTest, OfAnIndexThePlatformsManifestIsTaken) {
  Content both;
  const std::string arm = both.AddImage({second_}, "", "s390x");
  const std::string amd = both.AddImage({first_, second_}, "");
  const std::string index = both.AddIndex({arm, amd}, "multi", /*docker=*/true);
  LyingRegistry registry([&](const SeenRequest& r) { return Honest(both, r); });
  const auto result = RunPull(Request(registry.authority(), "multi"), staging_);
  ExpectWhole(result);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->plan.images(0).repo_digest(), index);
  PullRequest other = Request(registry.authority(), "multi");
  other.mutable_platform()->set_architecture("riscv64");
  const auto none = RunPull(other, staging_);
  EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("no image for linux/riscv64"));
}

TEST_F(PullTest, AConnectionThatBreaksIsResumedByRange) {
  std::atomic<int> times{0};
  LyingRegistry registry(But([&](const SeenRequest& r) -> std::optional<Reply> {
    if (!IsFirstLayer(r) || times++ >= 2) return std::nullopt;
    Reply reply = Honest(content_, r);
    reply.content_length = static_cast<long long>(reply.body.size());
    reply.body.resize(reply.body.size() / 3);
    return reply;
  }));
  ExpectWhole(PullFrom(registry));
  int ranges = 0;
  for (const SeenRequest& r : registry.seen()) ranges += r.headers.count("range") > 0 ? 1 : 0;
  EXPECT_EQ(ranges, 2);
}

TEST_F(PullTest, AResumptionThatStartsFromTheBeginningIsSkippedOver) {
  std::atomic<int> times{0};
  LyingRegistry registry(But([&](const SeenRequest& r) -> std::optional<Reply> {
    if (!IsFirstLayer(r)) return std::nullopt;
    SeenRequest whole = r;
    whole.headers.erase("range");
    Reply reply = Honest(content_, whole);
    if (times++ > 0) return reply;
    reply.content_length = static_cast<long long>(reply.body.size());
    reply.body.resize(1000);
    return reply;
  }));
  ExpectWhole(PullFrom(registry));
}

TEST_F(PullTest, TwoServerErrorsAreForgiven) {
  std::atomic<int> times{0};
  LyingRegistry registry(But([&](const SeenRequest&) -> std::optional<Reply> {
    return times++ < 2 ? std::optional<Reply>(Reply{times == 1 ? 500 : 429}) : std::nullopt;
  }));
  ExpectWhole(PullFrom(registry));
}

TEST_F(PullTest, LiesHaveTheRightCodeAndNameTheObject) {
  struct Case {
    const char* name;
    std::function<void(Reply*)> lie;
    absl::StatusCode code;
    const char* text;
  };
  const Case cases[] = {
      {"flipped byte", [](Reply* r) { r->body[r->body.size() / 2] ^= 1; },
       absl::StatusCode::kInvalidArgument, ""},
      {"longer than said", [](Reply* r) { r->body += "x"; }, absl::StatusCode::kDataLoss,
       "Content-Length says"},
      {"shorter than said", [](Reply* r) { r->body.resize(100); }, absl::StatusCode::kDataLoss,
       "Content-Length says 100 bytes"},
      {"404", [](Reply* r) { *r = {404}; }, absl::StatusCode::kNotFound, "HTTP status 404"},
      {"403", [](Reply* r) { *r = {403}; }, absl::StatusCode::kPermissionDenied, "403"},
      {"503", [](Reply* r) { *r = {503}; }, absl::StatusCode::kUnavailable, "503"},
      {"401", [](Reply* r) { *r = {401}; }, absl::StatusCode::kUnauthenticated, "challenge"},
      {"bad challenge",
       [](Reply* r) {
         *r = {401, {{"WWW-Authenticate", "Bearer realm=\"x y\""}}};
       },
       absl::StatusCode::kUnauthenticated, "realm"},
      {"loop",
       [](Reply* r) {
         *r = {302, {{"Location", "?"}}};
       },
       absl::StatusCode::kInvalidArgument, "too many redirects"},
      {"file URL",
       [](Reply* r) {
         *r = {302, {{"Location", "file:///etc/shadow"}}};
       },
       absl::StatusCode::kInvalidArgument, "redirect"},
      {"hangs",
       [](Reply* r) {
         r->hang = true;
         r->content_length = static_cast<long long>(r->body.size());
         r->body.clear();
       },
       absl::StatusCode::kUnavailable, "no progress for 1s"},
  };
  for (const Case& c : cases) {
    LyingRegistry registry(But([&](const SeenRequest& r) -> std::optional<Reply> {
      if (!IsFirstLayer(r)) return std::nullopt;
      Reply reply = Honest(content_, r);
      c.lie(&reply);
      return reply;
    }));
    TempDir staging;
    const auto result = RunPull(Request(registry.authority()), staging.path());
    EXPECT_EQ(result.status().code(), c.code) << c.name << ": " << result.status();
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(c.text)) << c.name;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(first_.digest)) << c.name;
  }
}

TEST_F(PullTest, LyingDocumentsAreRefused) {
  struct Case {
    const char* object;
    Reply reply;
    absl::StatusCode code;
    const char* text;
  };
  const std::string manifest = content_.manifests["1"].bytes;
  const std::string type = content_.manifests["1"].type;
  const Case cases[] = {
      {"/manifests/",
       {200, {{"Content-Type", type}}, "{"},
       absl::StatusCode::kInvalidArgument,
       "not JSON"},
      {"/manifests/",
       {200, {{"Content-Type", "text/html"}}, "<p>"},
       absl::StatusCode::kInvalidArgument,
       "text/html"},
      {"/manifests/",
       {200,
        {{"Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws"}},
        "{\"schemaVersion\":1}"},
       absl::StatusCode::kUnimplemented,
       "schema 1"},
      {"/manifests/",
       {200, {{"Content-Type", type}}, std::string(5 << 20, ' ')},
       absl::StatusCode::kResourceExhausted,
       "more than 4194304 bytes"},
      {"/manifests/", {404}, absl::StatusCode::kNotFound, "manifest 1 from http://127.0.0.1"},
      {"/manifests/",
       {200, {{"Content-Type", type}}, std::string(100'000, '[')},
       absl::StatusCode::kInvalidArgument,
       "nested"},
  };
  for (const Case& c : cases) {
    LyingRegistry registry(But([&](const SeenRequest& r) {
      return absl::StrContains(r.target, c.object) ? std::optional<Reply>(c.reply) : std::nullopt;
    }));
    const auto result = PullFrom(registry);
    EXPECT_EQ(result.status().code(), c.code) << result.status();
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(c.text));
  }
}

TEST_F(PullTest, ADigestThatTheRegistryDoesNotServeIsDataLoss) {
  LyingRegistry registry(But([&](const SeenRequest& r) -> std::optional<Reply> {
    if (!absl::StrContains(r.target, "/manifests/")) return std::nullopt;
    return Reply{
        200, {{"Content-Type", content_.manifests["1"].type}}, content_.manifests["1"].bytes};
  }));
  PullRequest request = Request(registry.authority());
  request.set_digest(DigestOf("something else").str());
  const auto result = RunPull(request, staging_);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDataLoss) << result.status();
}

TEST_F(PullTest, CredentialsDoNotFollowARedirectToAnotherHost) {
  LyingRegistry store([&](const SeenRequest& r) { return Honest(content_, r); });
  LyingRegistry registry(But([&](const SeenRequest& r) -> std::optional<Reply> {
    if (r.headers.count("authorization") == 0) {
      return Reply{401, {{"WWW-Authenticate", "Basic realm=\"here\""}}};
    }
    if (!absl::StrContains(r.target, "/blobs/")) return std::nullopt;
    return Reply{307, {{"Location", absl::StrCat("http://", store.authority(), r.target)}}};
  }));
  PullRequest request = Request(registry.authority());
  request.mutable_auth()->set_auth(absl::Base64Escape("user:secret"));
  ExpectWhole(RunPull(request, staging_));
  EXPECT_EQ(registry.seen().back().headers.at("authorization"),
            "Basic " + absl::Base64Escape("user:secret"));
  ASSERT_FALSE(store.seen().empty());
  for (const SeenRequest& r : store.seen()) EXPECT_EQ(r.headers.count("authorization"), 0u);
}

// CVE-2020-15157: whoever a redirect led to asks for a login at a place of its own.
TEST_F(PullTest, CredentialsDoNotGoWhereTheTargetOfARedirectSays) {
  const std::string* realm = nullptr;
  LyingRegistry store([&](const SeenRequest& r) -> Reply {
    if (absl::StartsWith(r.target, "/token")) return Reply{200, {}, "{\"token\":\"abc\"}"};
    return Reply{401, {{"WWW-Authenticate", absl::StrCat("Bearer realm=\"", *realm, "\"")}}};
  });
  const std::string token = absl::StrCat("http://", store.authority(), "/token");
  realm = &token;
  LyingRegistry registry(But([&](const SeenRequest& r) -> std::optional<Reply> {
    if (!absl::StrContains(r.target, "/blobs/")) return std::nullopt;
    return Reply{307, {{"Location", absl::StrCat("http://", store.authority(), r.target)}}};
  }));
  PullRequest request = Request(registry.authority());
  request.mutable_auth()->set_auth(absl::Base64Escape("user:secret"));
  const auto result = RunPull(request, staging_);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnauthenticated) << result.status();
  ASSERT_FALSE(store.seen().empty());
  for (const SeenRequest& r : store.seen()) {
    EXPECT_FALSE(absl::StartsWith(r.target, "/token")) << r.target;
    EXPECT_EQ(r.headers.count("authorization"), 0u);
  }
}

TEST_F(PullTest, TokensComeFromTheRealmWithWhateverTheRequestHas) {
  const std::string* realm = nullptr;
  LyingRegistry registry(But([&](const SeenRequest& r) -> std::optional<Reply> {
    if (absl::StartsWith(r.target, "/token")) {
      const bool refresh = absl::StrContains(r.body, "refresh_token=the%20one");
      const auto it = r.headers.find("authorization");
      const bool basic = it != r.headers.end() && it->second == "Basic dTpw";
      if (!refresh && !basic) return Reply{401};
      if (basic && !absl::StrContains(r.target, "scope=repository%3Ateam%2Fapp%3Apull")) {
        return Reply{400};
      }
      return Reply{200, {}, "{\"access_token\":\"abc\"}"};
    }
    const auto it = r.headers.find("authorization");
    if (it != r.headers.end() && it->second == "Bearer abc") return std::nullopt;
    return Reply{
        401, {{"WWW-Authenticate", absl::StrCat("Bearer realm=\"", *realm, "\",service=\"s\"")}}};
  }));
  const std::string url = absl::StrCat("http://", registry.authority(), "/token");
  realm = &url;
  PullRequest request = Request(registry.authority());
  request.mutable_auth()->set_username("u");
  request.mutable_auth()->set_password("p");
  ExpectWhole(RunPull(request, staging_));
  TempDir second;
  request.clear_auth();
  request.mutable_auth()->set_identity_token("the one");
  EXPECT_TRUE(RunPull(request, second.path()).ok());
  request.clear_auth();
  request.mutable_auth()->set_registry_token("abc");
  TempDir third;
  EXPECT_TRUE(RunPull(request, third.path()).ok());
  request.clear_auth();
  request.mutable_auth()->set_username("u");
  request.mutable_auth()->set_password("hunter2");
  const auto refused = RunPull(request, third.path());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnauthenticated) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), Not(HasSubstr("hunter2")));
}

TEST_F(PullTest, AMirrorThatFailsIsFollowedByTheNextAndTheServer) {
  LyingRegistry registry([&](const SeenRequest& r) { return Honest(content_, r); });
  LyingRegistry empty([](const SeenRequest&) { return Reply{404}; });
  ASSERT_TRUE(os::MakeDirs(dir_.path() + "/hosts/example.test", 0755).ok());
  const auto write = [&](const std::string& text) {
    const os::UniqueFd fd(open((dir_.path() + "/hosts/example.test/hosts.toml").c_str(),
                               O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    ASSERT_TRUE(os::WriteAll(fd.get(), text).ok());
  };
  write(absl::StrCat("server = \"http://", registry.authority(), "\"\n[host.\"http://",
                     empty.authority(), "\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
                     "[host.\"http://127.0.0.1:1\"]\n"));
  PullRequest request = Request("example.test");
  request.set_hosts_dir(dir_.path() + "/hosts");
  ExpectWhole(RunPull(request, staging_));
  EXPECT_THAT(empty.seen().front().target, HasSubstr("/v2/team/app/manifests/1?ns=example.test"));
  write("server = \n");
  const auto broken = RunPull(request, staging_);
  EXPECT_EQ(broken.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(broken.status().message()), HasSubstr("hosts.toml: line 1"));
}

TEST_F(PullTest, NobodyListeningIsUnavailableAndNamesTheUrl) {
  const auto result = RunPull(Request("127.0.0.1:1"), staging_);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("http://127.0.0.1:1/v2/team/app/manifests/1"));
}

TEST_F(PullTest, DebiansRegistryServesWhatWasPushedToIt) {
  const RealRegistry registry({dir_.path()});
  const std::string url = "http://" + registry.authority();
  Content many;
  std::vector<LayerSpec> layers = {first_, second_};
  for (int i = 0; i < 6; ++i) {
    layers.push_back(
        GzipLayer(Tar({File(absl::StrCat("f", i), Noise(4'000'000) + absl::StrCat(i))})));
  }
  const std::string arm = many.AddImage({second_}, "", "s390x");
  const std::string amd = many.AddImage(layers, "");
  const std::string index = many.AddIndex({arm, amd}, "multi");
  ASSERT_TRUE(berth::testing::Eventually([&] { return registry.Answers(); }, absl::Seconds(20)));
  const absl::Status pushed = Push(many, url, "team/app");
  ASSERT_TRUE(pushed.ok()) << pushed;
  std::vector<Progress> progress;
  PullOptions options;
  options.progress = &progress;
  const auto result = RunPull(Request(registry.authority(), "multi"), staging_, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->layers.size(), layers.size());
  EXPECT_EQ(result->plan.images(0).repo_digest(), index);
  PullRequest by_digest = Request(registry.authority(), "");
  by_digest.set_digest(index);
  TempDir second;
  EXPECT_TRUE(RunPull(by_digest, second.path()).ok());
  by_digest.set_digest("");
  by_digest.set_tag("absent");
  EXPECT_EQ(RunPull(by_digest, second.path()).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace berth::worker
