#include "image/registry/challenge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace berth::registry {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Shape(const std::string& header) {
  std::string out;
  for (const Challenge& c : ParseChallenges(header)) {
    absl::StrAppend(&out, out.empty() ? "" : " | ", c.scheme, " ",
                    absl::StrJoin(c.parameters, ";", absl::PairFormatter("=")));
  }
  return out;
}

TEST(ChallengeTest, HeadersAreTakenApart) {
  struct Case {
    const char* header;
    const char* shape;
  };
  const Case cases[] = {
      {R"(Bearer realm="https://a/t?x=1,2",service="s",scope="repository:x:pull,push")",
       "bearer realm=https://a/t?x=1,2;scope=repository:x:pull,push;service=s"},
      {R"(Basic realm="a, b", Bearer realm="https://t", service=s)",
       "basic realm=a, b | bearer realm=https://t;service=s"},
      {R"(Negotiate, bAsIc Realm=x)", "negotiate  | basic realm=x"},
      {R"(Bearer realm="a\"b\\c")", R"(bearer realm=a"b\c)"},
      {R"(Bearer   realm = "x" , , error="invalid_token")", "bearer error=invalid_token;realm=x"},
      {R"(Basic)", "basic "},
      {R"(Bearer realm="first", realm="second")", "bearer realm=first"},
      {R"(realm="x")", ""},  // of no scheme
      {R"(Bearer realm="no end)", "bearer realm=no end"},
      {R"(Bearer realm="\)", R"(bearer realm=\)"},
      {R"(Bearer realm=)", "bearer realm="},
      {"", ""},
      {R"("=,=")", ""},
      {"\x01\x02 \xff", ""},
  };
  for (const Case& c : cases) EXPECT_EQ(Shape(c.header), c.shape) << c.header;
}

worker::Auth WithAuth(const std::string& text) {
  worker::Auth auth;
  auth.set_auth(absl::Base64Escape(text));
  return auth;
}

TEST(CredentialsTest, AuthIsUserAndPasswordInBase64) {
  const auto plain = CredentialsFor(WithAuth("me:pa:ss"), "r.example");
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->username, "me");
  EXPECT_EQ(plain->password, "pa:ss");
  const auto filled = CredentialsFor(WithAuth(std::string("me:pass\0\0", 9)), "r.example");
  ASSERT_TRUE(filled.ok());
  EXPECT_EQ(filled->password, "pass");
  worker::Auth both = WithAuth("me:pass");
  both.set_username("named");
  both.set_password("first");
  EXPECT_EQ(CredentialsFor(both, "r.example")->username, "named");
  EXPECT_TRUE(CredentialsFor({}, "r.example")->empty());
}

TEST(CredentialsTest, WhatIsNotIsRefusedWithoutBeingRepeated) {
  worker::Auth odd;
  odd.set_auth("%%secret%%");
  for (const worker::Auth& auth : {WithAuth("secretwithoutcolon"), odd}) {
    const absl::Status status = CredentialsFor(auth, "r.example").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("credentials for r.example"));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(auth.auth())));
  }
}

TEST(CredentialsTest, TheyAreForTheRegistryThatTheyName) {
  struct Case {
    const char* address;
    const char* registry;
    bool taken;
  };
  const Case cases[] = {
      {"", "r.example", true},
      {"r.example", "r.example", true},
      {"https://R.example/v1/", "r.example", true},
      {"https://index.docker.io/v1/", "docker.io", true},
      {"registry-1.docker.io", "docker.io", true},
      {"other.example", "r.example", false},
      {"r.example:5000", "r.example", false},
      {"r.example.evil.test", "r.example", false},
  };
  for (const Case& c : cases) {
    worker::Auth auth = WithAuth("me:pass");
    auth.set_server_address(c.address);
    EXPECT_EQ(CredentialsFor(auth, c.registry)->empty(), !c.taken) << c.address;
  }
}

}  // namespace
}  // namespace berth::registry
