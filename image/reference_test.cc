#include "image/reference.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace berth::image {
namespace {

const std::string kHex(64, 'a');

TEST(ReferenceTest, FillsInWhatPeopleLeaveOut) {
  const std::pair<std::string, std::string> cases[] = {
      {"busybox", "docker.io/library/busybox:latest"},
      {"busybox:1.36", "docker.io/library/busybox:1.36"},
      {"library/busybox", "docker.io/library/busybox:latest"},
      {"user/app", "docker.io/user/app:latest"},
      {"docker.io/busybox", "docker.io/library/busybox:latest"},
      {"index.docker.io/busybox", "docker.io/library/busybox:latest"},
      {"index.docker.io/a/b:c", "docker.io/a/b:c"},
      {"localhost/app", "localhost/app:latest"},
      {"localhost:5000/app", "localhost:5000/app:latest"},
      {"Registry/app", "Registry/app:latest"},
      {"registry.k8s.io/e2e-test-images/busybox:1.29-2",
       "registry.k8s.io/e2e-test-images/busybox:1.29-2"},
      {"[::1]:5000/app:x", "[::1]:5000/app:x"},
      {"[fe80::1]/app", "[fe80::1]/app:latest"},
      {"127.0.0.1:80/a/b/c", "127.0.0.1:80/a/b/c:latest"},
      {"a/b__c.d_e---f:T_a.g-1", "docker.io/a/b__c.d_e---f:T_a.g-1"},
      {"app@sha256:" + kHex, "docker.io/library/app@sha256:" + kHex},
      {"app:tag@sha256:" + kHex, "docker.io/library/app@sha256:" + kHex},
      {"h.io:1/app:tag@sha256:" + kHex, "h.io:1/app@sha256:" + kHex},
      {"app:" + std::string(128, 't'), "docker.io/library/app:" + std::string(128, 't')},
      {kHex + "/app", "docker.io/" + kHex + "/app:latest"},
      {"deadbeefcafe", "docker.io/library/deadbeefcafe:latest"},
  };
  for (const auto& [text, want] : cases) {
    absl::StatusOr<Reference> got = ParseReference(text);
    ASSERT_TRUE(got.ok()) << text << ": " << got.status();
    EXPECT_EQ(got->Canonical(), want) << text;
    absl::StatusOr<Reference> again = ParseReference(got->Canonical());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->Canonical(), want) << "a canonical name normalises to itself";
  }
}

TEST(ReferenceTest, RefusesWhatIsNoReference) {
  const std::string cases[] = {
      "",
      " ",
      "Busybox",
      "a/B",
      "h.io/App",
      "app:",
      "app:.x",
      "app:-x",
      "app:" + std::string(129, 't'),
      "app:a b",
      "app@",
      "app@sha256:abc",
      "app@sha512:" + kHex + kHex,
      "app@sha256:" + std::string(64, 'A'),
      "@sha256:" + kHex,
      ":tag",
      "/app",
      "app/",
      "a//b",
      "-app",
      "app-",
      "a..b",
      "a___b",
      "a._b",
      "h.io:/app",
      "h.io:x/app",
      "-h.io/app",
      "h..io/app",
      "[::1/app",
      "[g]/app",
      "../app",
      "a/../b",
      "app\n",
      std::string("app\0x", 5),
      "http://h.io/app",
      kHex,
      std::string(256, 'a'),
      std::string(2000, 'a'),
  };
  for (const std::string& text : cases) {
    absl::StatusOr<Reference> got = ParseReference(text);
    ASSERT_FALSE(got.ok()) << text << " -> " << got->Canonical();
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(ReferenceTest, KeepsTagAndDigestApart) {
  absl::StatusOr<Reference> got = ParseReference("h.io/a:tag@sha256:" + kHex);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->Repository(), "h.io/a");
  EXPECT_EQ(got->tag, "tag");
  EXPECT_EQ(got->digest, "sha256:" + kHex);
}

TEST(ReferenceTest, ErrorsShowControlBytesEscaped) {
  absl::StatusOr<Reference> got = ParseReference("app\x1b[2J");
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.status().message().find('\x1b'), absl::string_view::npos);
}

}  // namespace
}  // namespace berth::image
