// State directories and socket places on a real file system.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "server/sd_notify.h"
#include "server/socket_path.h"
#include "server/state_dir.h"

namespace berth::server {
namespace {

using ::testing::HasSubstr;

class PathsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-paths-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override {
    auto tmp = os::Open("/tmp", O_RDONLY | O_DIRECTORY);
    EXPECT_TRUE(tmp.ok() && os::RemoveTree(tmp->get(), dir_.substr(5)).ok());
  }
  absl::StatusOr<StateDir> Claim(const std::string& path, absl::string_view role = "data") {
    return StateDir::Claim(path, role, 0700, getegid());
  }
  std::string Refusal(const std::string& path, absl::string_view role = "data") {
    const auto claimed = Claim(path, role);
    EXPECT_EQ(claimed.status().code(), absl::StatusCode::kFailedPrecondition);
    return std::string(claimed.status().message());
  }
  os::UniqueFd Bind(const std::string& path, int type) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path.data(), path.size());
    os::UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  mode_t Mode(const std::string& path) {
    struct stat st {};
    EXPECT_EQ(stat(path.c_str(), &st), 0) << path;
    return st.st_mode & 07777;
  }
  std::string dir_;
};

TEST_F(PathsTest, ANewDirectoryIsMadeAndKeepsItsIdentity) {
  std::string id;
  {
    const auto claimed = Claim(dir_ + "/a/b");
    ASSERT_TRUE(claimed.ok()) << claimed.status();
    id = claimed->id();
    EXPECT_EQ(Mode(dir_ + "/a/b"), 0700u);
  }
  const auto again = Claim(dir_ + "/a/b");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->id(), id);
}

TEST_F(PathsTest, ASecondClaimNamesDirectoryAndHolder) {
  const auto first = Claim(dir_ + "/d");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(Refusal(dir_ + "/d"),
            absl::StrCat("claim directory ", dir_, "/d: process ", getpid(), " holds it"));
}

TEST_F(PathsTest, SomebodyElsesDirectoryIsLeftAsItIs) {
  ASSERT_EQ(mkdir((dir_ + "/d").c_str(), 0755), 0);
  std::ofstream(dir_ + "/d/file") << "theirs";
  EXPECT_THAT(Refusal(dir_ + "/d"), HasSubstr("not empty (\"file\")"));
  EXPECT_EQ(Mode(dir_ + "/d"), 0755u);
}

TEST_F(PathsTest, AFreshFileSystemAndAHalfWrittenIdentityAreNoObstacle) {
  ASSERT_EQ(mkdir((dir_ + "/d").c_str(), 0755), 0);
  ASSERT_EQ(mkdir((dir_ + "/d/lost+found").c_str(), 0700), 0);
  std::ofstream(dir_ + "/d/.identity.0123456789ab") << "berth da";
  EXPECT_TRUE(Claim(dir_ + "/d").ok());
  EXPECT_NE(access((dir_ + "/d/.identity.0123456789ab").c_str(), F_OK), 0);
}

TEST_F(PathsTest, LinksFilesOtherRolesAndNewerFormatsAreRefused) {
  ASSERT_TRUE(Claim(dir_ + "/d").ok());
  ASSERT_EQ(symlink("d", (dir_ + "/link").c_str()), 0);
  EXPECT_THAT(Refusal(dir_ + "/link"), HasSubstr("symbolic link"));
  std::ofstream(dir_ + "/file") << "x";
  EXPECT_THAT(Refusal(dir_ + "/file"), HasSubstr("not a directory"));
  EXPECT_THAT(Refusal(dir_ + "/d", "run"),
              HasSubstr("it is a data directory, not a run directory"));
  std::ofstream(dir_ + "/d/identity") << "berth data 2 " << std::string(64, 'a') << "\n";
  EXPECT_THAT(Refusal(dir_ + "/d"), HasSubstr("its format is 2, this version knows 1"));
  std::ofstream(dir_ + "/d/identity") << "hello";
  EXPECT_THAT(Refusal(dir_ + "/d"), HasSubstr("not one of berth's"));
}

TEST(LockHolderTest, FindsTheFlockOfThatInode) {
  const char locks[] =
      "1: POSIX  ADVISORY  WRITE 11 fe:01:42 0 EOF\n"
      "2: FLOCK  ADVISORY  WRITE 12 fe:01:420 0 EOF\n"
      "2: -> FLOCK  ADVISORY  WRITE 13 fe:01:42 0 EOF\n"
      "3: FLOCK  ADVISORY  WRITE 14 fe:01:42 0 EOF\n";
  EXPECT_EQ(LockHolder(locks, 0xfe01, 42), 14);
  EXPECT_EQ(LockHolder(locks, 0xfe01, 43), 0);
}

TEST_F(PathsTest, ASocketAppearsWithItsModeAndGoesOnlyIfItIsStillOurs) {
  const std::string path = dir_ + "/s";
  auto socket = SocketPath::Prepare(path, 0660, getegid());
  ASSERT_TRUE(socket.ok()) << socket.status();
  const os::UniqueFd fd = Bind(socket->BindPath(), SOCK_STREAM);
  ASSERT_EQ(listen(fd.get(), 1), 0);
  EXPECT_NE(access(path.c_str(), F_OK), 0);
  ASSERT_TRUE(socket->Publish().ok());
  EXPECT_EQ(Mode(path), 0660u);
  EXPECT_NE(access((path + ".new").c_str(), F_OK), 0);
  ASSERT_TRUE(socket->Withdraw().ok());
  EXPECT_NE(access(path.c_str(), F_OK), 0);
  std::ofstream(path) << "another's";
  ASSERT_TRUE(socket->Withdraw().ok());
  EXPECT_EQ(access(path.c_str(), F_OK), 0);
}

TEST_F(PathsTest, ALiveSocketIsNotStolenAStaleOneIsReplaced) {
  const std::string path = dir_ + "/s";
  {
    const os::UniqueFd live = Bind(path, SOCK_STREAM);
    ASSERT_EQ(listen(live.get(), 1), 0);
    EXPECT_THAT(std::string(SocketPath::Prepare(path, 0600, 0).status().message()),
                HasSubstr("another process listens there"));
  }
  EXPECT_TRUE(SocketPath::Prepare(path, 0600, 0).ok());
}

TEST_F(PathsTest, WhatIsNoSocketIsNotReplaced) {
  std::ofstream(dir_ + "/s") << "x";
  EXPECT_THAT(std::string(SocketPath::Prepare(dir_ + "/s", 0600, 0).status().message()),
              HasSubstr("no socket is in the way"));
}

TEST_F(PathsTest, LeftoversOfAKillBetweenBindAndRenameAreCleared) {
  ASSERT_EQ(mkdir((dir_ + "/s.new").c_str(), 0700), 0);
  std::ofstream(dir_ + "/s.new/s") << "";
  EXPECT_TRUE(SocketPath::Prepare(dir_ + "/s", 0600, 0).ok());
  EXPECT_NE(access((dir_ + "/s.new/s").c_str(), F_OK), 0);
  ASSERT_EQ(chmod((dir_ + "/s.new").c_str(), 0777), 0);
  EXPECT_FALSE(SocketPath::Prepare(dir_ + "/s", 0600, 0).ok());
}

TEST_F(PathsTest, TheServiceManagerGetsOneDatagram) {
  const std::string path = dir_ + "/notify";
  const os::UniqueFd manager = Bind(path, SOCK_DGRAM);
  ASSERT_TRUE(SdNotify(path, "READY=1").ok());
  char buffer[64] = {};
  EXPECT_EQ(recv(manager.get(), buffer, sizeof(buffer), MSG_DONTWAIT), 7);
  EXPECT_STREQ(buffer, "READY=1");
  EXPECT_TRUE(SdNotify("", "READY=1").ok());
  EXPECT_FALSE(SdNotify("relative", "READY=1").ok());
  EXPECT_FALSE(SdNotify(dir_ + "/none", "READY=1").ok());
}

}  // namespace
}  // namespace berth::server
