// What goes over the wire: URLs, who is asked for what, and who gets which header.
#include "image/registry/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "image/worker/testing/test_registry.h"

namespace berth::registry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using worker::testing::LyingRegistry;
using worker::testing::Reply;
using worker::testing::SeenRequest;

std::vector<std::string> Targets(const LyingRegistry& registry) {
  std::vector<std::string> targets;
  for (const SeenRequest& r : registry.seen()) targets.push_back(r.target);
  return targets;
}

Reply Anything(const SeenRequest&) { return {200, {{"Content-Type", "x/y; charset=utf-8"}}, "x"}; }
Reply Nothing(const SeenRequest&) { return {404}; }

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() {
    EXPECT_TRUE(InitHttp().ok());
    session_.registry = "r.example:5000";
    session_.repository = "team/app";
    session_.first_backoff = absl::Milliseconds(1);
  }
  void Hosts(const std::string& text) {
    auto hosts = ParseHosts(text, "/etc/x", session_.registry);
    ASSERT_TRUE(hosts.ok()) << hosts.status();
    session_.hosts = *std::move(hosts);
  }
  const Digest digest_ =
      *Digest::Parse("sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881");
  Session session_;
};

TEST_F(ClientTest, MirrorsAreToldWhoseImageItIsAndTheServerIsNot) {
  const LyingRegistry mirror(Nothing);
  const LyingRegistry server(Anything);
  Hosts(absl::StrCat("server = \"", server.authority(), "\"\n[host.\"", mirror.authority(),
                     "/some/path\"]\noverride_path = true\n"));
  Client client(&session_);
  const auto manifest = client.GetManifest("1.0");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->bytes, "x");
  EXPECT_EQ(manifest->media_type, "x/y");
  EXPECT_EQ(*client.GetBlob(digest_, 1), "x");
  EXPECT_THAT(Targets(mirror), ElementsAre("/some/path/team/app/manifests/1.0?ns=r.example%3A5000",
                                           absl::StrCat("/some/path/team/app/blobs/", digest_.str(),
                                                        "?ns=r.example%3A5000")));
  EXPECT_THAT(Targets(server), ElementsAre("/v2/team/app/manifests/1.0",
                                           absl::StrCat("/v2/team/app/blobs/", digest_.str())));
}

TEST_F(ClientTest, CapabilitiesSayWhoIsAskedForTagsAndWhoForDigests) {
  const LyingRegistry resolves(Nothing);
  const LyingRegistry pulls(Nothing);
  const LyingRegistry server(Anything);
  Hosts(absl::StrCat("server = \"", server.authority(), "\"\n[host.\"", resolves.authority(),
                     "\"]\ncapabilities = [\"resolve\"]\n[host.\"", pulls.authority(),
                     "\"]\ncapabilities = [\"pull\"]\n"));
  Client client(&session_);
  EXPECT_TRUE(client.GetManifest("1.0").ok());
  EXPECT_TRUE(client.GetManifest(digest_.str()).ok());
  EXPECT_TRUE(client.GetBlob(digest_, 1).ok());
  EXPECT_THAT(Targets(resolves), ElementsAre(HasSubstr("/manifests/1.0")));
  EXPECT_THAT(Targets(pulls), ElementsAre(HasSubstr("/manifests/sha256:"), HasSubstr("/blobs/")));
}

TEST_F(ClientTest, HeadersAndCredentialsStayWithTheirHost) {
  const auto wants_login = [](const SeenRequest& r) {
    return r.headers.count("authorization") > 0 ? Anything(r)
                                                : Reply{401, {{"WWW-Authenticate", "Basic"}}};
  };
  const LyingRegistry mirror(wants_login);
  const LyingRegistry server(wants_login);
  Hosts(absl::StrCat("server = \"", server.authority(), "\"\n[host.\"", mirror.authority(),
                     "\".header]\nX-Key = \"k\"\n"));
  session_.credentials.username = "u";
  session_.credentials.password = "p";
  Client client(&session_);
  EXPECT_TRUE(client.GetManifest("1.0").ok());
  ASSERT_EQ(mirror.seen().size(), 1u);
  EXPECT_EQ(mirror.seen()[0].headers.at("x-key"), "k");
  EXPECT_EQ(mirror.seen()[0].headers.count("authorization"), 0u);
  ASSERT_EQ(server.seen().size(), 2u);
  EXPECT_EQ(server.seen()[1].headers.count("x-key"), 0u);
  EXPECT_EQ(server.seen()[1].headers.at("authorization"), "Basic dTpw");
  EXPECT_TRUE(client.GetManifest("2.0").ok());
  EXPECT_EQ(server.seen().size(), 3u);  // the login is remembered
}

TEST_F(ClientTest, WhenAllFailTheLastDecidesAndTheOthersAreNamed) {
  const LyingRegistry mirror([](const SeenRequest&) { return Reply{503}; });
  const LyingRegistry server(Nothing);
  Hosts(
      absl::StrCat("server = \"", server.authority(), "\"\n[host.\"", mirror.authority(), "\"]\n"));
  Client client(&session_);
  const absl::Status status = client.GetManifest("1.0").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("HTTP status 404 (before that:"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("HTTP status 503"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("ns=")));
  EXPECT_EQ(mirror.seen().size(), 5u);
}

TEST_F(ClientTest, ARealmThatIsMissingOrNoUrlIsUnauthenticated) {
  for (const char* header :
       {"Bearer service=\"s\"", "Bearer realm=\"\"", "Bearer realm=\"file:///etc/shadow\"",
        "Digest realm=\"x\"", "", "Basic realm=\"x\""}) {
    const LyingRegistry server([&](const SeenRequest&) {
      return Reply{401, {{"WWW-Authenticate", header}}};
    });
    Hosts(absl::StrCat("server = \"", server.authority(), "\"\n"));
    Client client(&session_);
    const absl::Status status = client.GetManifest("1.0").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << header << ": " << status;
    EXPECT_EQ(server.seen().size(), 1u) << header;
  }
}

TEST(UrlTest, UrlsAreTakenApartAndPutTogether) {
  EXPECT_EQ(*ResolveUrl("https://a/v2/x?y", "/z"), "https://a/z");
  EXPECT_EQ(*ResolveUrl("https://a/v2/x", "https://b:1/z?q"), "https://b:1/z?q");
  EXPECT_EQ(*ResolveUrl("https://a/v2/x", "//b/z"), "https://b/z");
  EXPECT_EQ(*OriginOf("https://a/x"), *OriginOf("HTTPS://A:443/y"));
  EXPECT_FALSE(*OriginOf("https://a") == *OriginOf("http://a"));
  EXPECT_FALSE(*OriginOf("https://a") == *OriginOf("https://a:444"));
  for (const char* bad : {"", "a", "ftp://a", "file:///etc/shadow", "https://", "/x"}) {
    EXPECT_FALSE(OriginOf(bad).ok()) << bad;
  }
  EXPECT_EQ(WithoutQuery("https://u:p@a/x?token=secret#f"), "https://a/x");
  EXPECT_EQ(UrlEscape("a b/ü"), "a%20b%2F%C3%BC");
}

}  // namespace
}  // namespace berth::registry
