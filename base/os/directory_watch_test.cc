#include "base/os/directory_watch.h"

#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os/test_dir.h"

namespace berth::os {
namespace {

void Write(const std::string& path, const std::string& text) {
  absl::StatusOr<UniqueFd> fd = Open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  ASSERT_TRUE(fd.ok()) << fd.status();
  ASSERT_TRUE(WriteAll(fd->get(), text).ok());
}

class DirectoryWatchTest : public ::testing::Test {
 protected:
  DirectoryWatch Watch(const std::string& path) {
    absl::StatusOr<DirectoryWatch> watch = DirectoryWatch::Open(path);
    EXPECT_TRUE(watch.ok()) << watch.status();
    return *std::move(watch);
  }
  static bool Changed(DirectoryWatch* watch) {
    absl::StatusOr<bool> changed = watch->Changed();
    EXPECT_TRUE(changed.ok()) << changed.status();
    return changed.ok() && *changed;
  }

  TestDir dir_;
};

TEST_F(DirectoryWatchTest, FilesThatComeChangeAndGoAreSeenOnce) {
  ASSERT_EQ(mkdir((dir_ / "d").c_str(), 0755), 0);
  DirectoryWatch watch = Watch(dir_ / "d");
  EXPECT_FALSE(Changed(&watch));
  Write(dir_ / "d/a", "1");
  EXPECT_TRUE(Changed(&watch));
  EXPECT_FALSE(Changed(&watch));
  Write(dir_ / "d/a", "2");
  EXPECT_TRUE(Changed(&watch));
  ASSERT_EQ(rename((dir_ / "d/a").c_str(), (dir_ / "d/b").c_str()), 0);
  EXPECT_TRUE(Changed(&watch));
  ASSERT_EQ(unlink((dir_ / "d/b").c_str()), 0);
  EXPECT_TRUE(Changed(&watch));
  EXPECT_FALSE(Changed(&watch));
}

TEST_F(DirectoryWatchTest, ADirectoryMadeLaterIsPickedUpAtAnyDepth) {
  DirectoryWatch watch = Watch(dir_ / "x/y/z");
  EXPECT_FALSE(Changed(&watch));
  ASSERT_EQ(mkdir((dir_ / "other").c_str(), 0755), 0);
  EXPECT_FALSE(Changed(&watch)) << "a name that is not on the way";
  ASSERT_EQ(mkdir((dir_ / "x").c_str(), 0755), 0);
  ASSERT_EQ(mkdir((dir_ / "x/y").c_str(), 0755), 0);
  EXPECT_TRUE(Changed(&watch));
  ASSERT_EQ(mkdir((dir_ / "x/y/z").c_str(), 0755), 0);
  EXPECT_TRUE(Changed(&watch));
  Write(dir_ / "x/y/z/f", "1");
  EXPECT_TRUE(Changed(&watch));
}

TEST_F(DirectoryWatchTest, AReplacedDirectoryAndAReplacedParentAreFollowed) {
  ASSERT_TRUE(MakeDirs(dir_ / "p/d", 0755).ok());
  ASSERT_TRUE(MakeDirs(dir_ / "q/d", 0755).ok());
  DirectoryWatch watch = Watch(dir_ / "p/d");
  ASSERT_EQ(rename((dir_ / "p").c_str(), (dir_ / "old").c_str()), 0);
  EXPECT_TRUE(Changed(&watch));
  ASSERT_EQ(rename((dir_ / "q").c_str(), (dir_ / "p").c_str()), 0);
  EXPECT_TRUE(Changed(&watch));
  Write(dir_ / "old/d/f", "1");
  EXPECT_FALSE(Changed(&watch)) << "the old directory does not count";
  Write(dir_ / "p/d/f", "1");
  EXPECT_TRUE(Changed(&watch));
  ASSERT_TRUE(RemoveTree(AT_FDCWD, dir_ / "p").ok());
  EXPECT_TRUE(Changed(&watch));
  ASSERT_TRUE(MakeDirs(dir_ / "p/d", 0755).ok());
  EXPECT_TRUE(Changed(&watch));
}

TEST_F(DirectoryWatchTest, RelativePathsAreRefused) {
  EXPECT_EQ(DirectoryWatch::Open("etc").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace berth::os
