#include "base/os/mount.h"

#include <gtest/gtest.h>

#include "base/os/file.h"

namespace berth::os {
namespace {

TEST(MountInfoTest, FieldsAreReadWithAnyNumberOfOptionalOnes) {
  absl::StatusOr<std::vector<MountEntry>> mounts = ParseMountInfo(
      "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n"
      "22 27 0:21 / /proc rw - proc proc rw\n");
  ASSERT_TRUE(mounts.ok()) << mounts.status();
  ASSERT_EQ(mounts->size(), 2u);
  const MountEntry& first = (*mounts)[0];
  EXPECT_EQ(first.id, 36u);
  EXPECT_EQ(first.parent, 35u);
  EXPECT_EQ(first.root, "/mnt1");
  EXPECT_EQ(first.target, "/mnt2");
  EXPECT_EQ(first.options, "rw,noatime");
  EXPECT_EQ(first.fs_type, "ext3");
  EXPECT_EQ(first.source, "/dev/root");
  EXPECT_EQ(first.super_options, "rw,errors=continue");
  EXPECT_TRUE(first.is_shared);
  EXPECT_FALSE((*mounts)[1].is_shared);
}

TEST(MountInfoTest, OctalEscapesAreDecoded) {
  absl::StatusOr<std::vector<MountEntry>> mounts =
      ParseMountInfo("1 2 0:1 / /a\\040b\\011c\\134d\\012e rw - tmpfs x\\040y rw\n");
  ASSERT_TRUE(mounts.ok()) << mounts.status();
  EXPECT_EQ((*mounts)[0].target, "/a b\tc\\d\ne");
  EXPECT_EQ((*mounts)[0].source, "x y");
}

TEST(MountInfoTest, ALineThatIsCutShortIsAnErrorThatQuotesIt) {
  for (const char* text : {"1 2 0:1 / /a rw", "1 2 0:1 / /a rw - tmpfs", "x 2 0:1 / /a rw - t s o",
                           "garbage", "1 2 0:1 / - /a rw tmpfs s o"}) {
    EXPECT_FALSE(ParseMountInfo(text).ok()) << text;
  }
}

TEST(MountInfoTest, ThisProcesssOwnTableParses) {
  absl::StatusOr<std::string> text = ReadFile("/proc/self/mountinfo", 16 << 20);
  ASSERT_TRUE(text.ok());
  absl::StatusOr<std::vector<MountEntry>> mounts = ParseMountInfo(*text);
  ASSERT_TRUE(mounts.ok()) << mounts.status();
  EXPECT_FALSE(mounts->empty());
}

}  // namespace
}  // namespace berth::os
