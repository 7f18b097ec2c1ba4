#include "image/user_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os/test_dir.h"

namespace berth::image {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kPasswd[] =
    "root:x:0:0:root:/root:/bin/sh\n"
    "# comment:x:5:5::/:/bin/sh\n"
    "broken\n"
    "wide:x:4294967296:0::/wide:/bin/sh\n"
    "alice:x:1000:1001:Alice:/home/alice:/bin/sh\n"
    "nohome:x:1002:1002:::\n"
    "control:x:0:0::/c\r:/bin/sh\n"
    "4294967296:x:0:0::/evil:/bin/sh\n"
    "99999999999:x:0:0::/evil:/bin/sh\n"
    "-1:x:0:0::/evil:/bin/sh\n"
    "www-data:x:33:33::/var/www:/bin/false";

constexpr char kGroup[] =
    "root:x:0:alice\n"
    "staff:x:50:alice,www-data\n"
    "alice:x:1001:alice\n"
    "wide:x:4294967296:alice\n"
    "extra:x:50000:bob,alice\n"
    "staff2:x:50:alice\n";

class UserLookupTest : public ::testing::Test {
 protected:
  void Write(const std::string& layer, const std::string& path, const std::string& text) {
    const std::string file = dir_ / layer + "/" + path;
    ASSERT_TRUE(os::MakeDirs(file.substr(0, file.rfind('/')), 0755).ok());
    absl::StatusOr<os::UniqueFd> fd = os::Open(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_TRUE(fd.ok()) << fd.status();
    ASSERT_TRUE(os::WriteAll(fd->get(), text).ok());
  }
  void MakeLayer(const std::string& layer) { ASSERT_TRUE(os::MakeDirs(dir_ / layer, 0755).ok()); }
  std::vector<std::string> Lowers(const std::vector<std::string>& layers) {
    std::vector<std::string> lowers;
    lowers.reserve(layers.size());
    for (const std::string& layer : layers) lowers.push_back(dir_ / layer);
    return lowers;
  }
  void WriteUsers() {
    Write("l", "etc/passwd", kPasswd);
    Write("l", "etc/group", kGroup);
  }

  os::TestDir dir_;
};

TEST_F(UserLookupTest, ResolvesEveryFormOfAUser) {
  WriteUsers();
  struct Case {
    std::string user;
    uid_t uid;
    gid_t gid;
    std::string home;
    std::vector<gid_t> groups;
  };
  const Case cases[] = {
      {"", 0, 0, "/root", {}},
      {"root", 0, 0, "/root", {}},
      {"0", 0, 0, "/root", {}},
      {"alice", 1000, 1001, "/home/alice", {0, 50, 50000}},
      {"1000", 1000, 1001, "/home/alice", {0, 50, 50000}},
      {"alice:staff", 1000, 50, "/home/alice", {0, 1001, 50000}},
      {"1000:7", 1000, 7, "/home/alice", {0, 50, 1001, 50000}},
      {"alice:", 1000, 1001, "/home/alice", {0, 50, 50000}},
      {"1002", 1002, 1002, "/", {}},
      {"4711", 4711, 0, "/", {}},
      {"4711:staff", 4711, 50, "/", {}},
      {"2147483647:2147483647", 2147483647, 2147483647, "/", {}},
      {":50", 0, 50, "/root", {}},
      {"www-data", 33, 33, "/var/www", {50}},
      {"00", 0, 0, "/root", {}},
  };
  for (const Case& c : cases) {
    absl::StatusOr<ResolvedUser> user = ResolveUser(Lowers({"l"}), c.user);
    ASSERT_TRUE(user.ok()) << c.user << ": " << user.status();
    EXPECT_EQ(user->uid, c.uid) << c.user;
    EXPECT_EQ(user->gid, c.gid) << c.user;
    EXPECT_EQ(user->home, c.home) << c.user;
    EXPECT_EQ(user->groups, c.groups) << c.user;
  }
}

TEST_F(UserLookupTest, NamesComeWithTheUser) {
  WriteUsers();
  EXPECT_EQ(ResolveUser(Lowers({"l"}), "1000")->name, "alice");
  EXPECT_EQ(ResolveUser(Lowers({"l"}), "4711")->name, "");
}

// CVE-2024-40635, CVE-2026-46680: a number that does not fit is never zero and never a name.
TEST_F(UserLookupTest, NumbersOutOfRangeAreRefusedEvenWhenPasswdHasThemAsNames) {
  WriteUsers();
  for (const std::string user :
       {"4294967296", "2147483648:0", "99999999999", "0:4294967296", "-1", "+0", "1000:-1",
        "99999999999999999999999999", "alice:99999999999"}) {
    absl::StatusOr<ResolvedUser> resolved = ResolveUser(Lowers({"l"}), user);
    EXPECT_EQ(resolved.status().code(), absl::StatusCode::kInvalidArgument) << user;
    EXPECT_THAT(std::string(resolved.status().message()), HasSubstr(user));
  }
}

TEST_F(UserLookupTest, UnknownOrMalformedNamesAreRefused) {
  WriteUsers();
  for (const std::string user : {"nobody", "wide", "control", "broken", "alice:nogroup",
                                 "alice:wide", "a:b:c", "ali ce", "alice\n", "Alice"}) {
    EXPECT_EQ(ResolveUser(Lowers({"l"}), user).status().code(), absl::StatusCode::kInvalidArgument)
        << user;
  }
}

TEST_F(UserLookupTest, AnImageWithoutTablesKnowsNumbersOnly) {
  MakeLayer("l");
  absl::StatusOr<ResolvedUser> user = ResolveUser(Lowers({"l"}), "12:34");
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->uid, 12u);
  EXPECT_EQ(user->gid, 34u);
  EXPECT_FALSE(ResolveUser(Lowers({"l"}), "root").ok());
}

TEST_F(UserLookupTest, TheTopmostLayerWins) {
  WriteUsers();
  Write("top", "etc/passwd", "alice:x:7:8::/top:/bin/sh\n");
  EXPECT_EQ(ResolveUser(Lowers({"top", "l"}), "alice")->uid, 7u);
  EXPECT_EQ(ResolveUser(Lowers({"l", "top"}), "alice")->uid, 1000u);
  EXPECT_THAT(ResolveUser(Lowers({"top", "l"}), "alice")->groups, ElementsAre(0, 50, 1001, 50000))
      << "group comes from the layer below";
}

TEST_F(UserLookupTest, AFileInTheWayHidesTheDirectoryBelow) {
  WriteUsers();
  Write("top", "etc", "a file");
  EXPECT_EQ(*ReadThroughLayers(Lowers({"top", "l"}), "/etc/passwd"), std::nullopt);
  // A directory on top of a file shows what is above the file only.
  Write("over", "etc/other", "x");
  EXPECT_EQ(*ReadThroughLayers(Lowers({"over", "top", "l"}), "/etc/passwd"), std::nullopt);
  EXPECT_EQ(*ReadThroughLayers(Lowers({"over", "top", "l"}), "/etc/other"), "x");
}

TEST_F(UserLookupTest, LinksAreFollowedInsideTheMergedView) {
  Write("l", "real/users", "target");
  MakeLayer("top");
  ASSERT_TRUE(os::MakeDirs(dir_ / "top/etc", 0755).ok());
  ASSERT_EQ(symlink("../../../../../../real/users", (dir_ / "top/etc/passwd").c_str()), 0);
  ASSERT_EQ(symlink("/etc/passwd", (dir_ / "top/etc/absolute").c_str()), 0);
  ASSERT_EQ(symlink("loop", (dir_ / "top/etc/loop").c_str()), 0);
  ASSERT_EQ(symlink("real", (dir_ / "top/dir").c_str()), 0);
  const std::vector<std::string> lowers = Lowers({"top", "l"});
  EXPECT_EQ(*ReadThroughLayers(lowers, "/etc/passwd"), "target");
  EXPECT_EQ(*ReadThroughLayers(lowers, "/etc/absolute"), "target") << "not the host's";
  EXPECT_EQ(*ReadThroughLayers(lowers, "/dir/../dir/users"), "target");
  EXPECT_EQ(*ReadThroughLayers(lowers, "/etc/absent"), std::nullopt);
  EXPECT_EQ(ReadThroughLayers(lowers, "/etc/loop").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(UserLookupTest, WhatIsNoSmallRegularFileIsRefusedAtOnce) {
  Write("l", "etc/big", "");
  ASSERT_EQ(truncate((dir_ / "l/etc/big").c_str(), 4LL << 30), 0);
  ASSERT_EQ(mkfifo((dir_ / "l/etc/fifo").c_str(), 0644), 0);
  for (const std::string path : {"/etc/big", "/etc/fifo", "/etc"}) {
    EXPECT_EQ(ReadThroughLayers(Lowers({"l"}), path).status().code(),
              absl::StatusCode::kInvalidArgument)
        << path;
  }
  Write("l", "etc/eleven", "12345678901");
  EXPECT_FALSE(ReadThroughLayers(Lowers({"l"}), "/etc/eleven", 10).ok());
  EXPECT_EQ(*ReadThroughLayers(Lowers({"l"}), "/etc/eleven", 11), "12345678901");
}

TEST_F(UserLookupTest, APasswdThatIsAFifoFailsTheLookup) {
  MakeLayer("l/etc");
  ASSERT_EQ(mkfifo((dir_ / "l/etc/passwd").c_str(), 0644), 0);
  absl::StatusOr<ResolvedUser> user = ResolveUser(Lowers({"l"}), "1000");
  EXPECT_EQ(user.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(user.status().message()), HasSubstr("/etc/passwd"));
}

}  // namespace
}  // namespace berth::image
