#include "shim/mount_options.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

namespace berth::shim {
namespace {

TEST(MountOptionsTest, AttributesBecomeBits) {
  const auto options = ParseMountOptions({"nosuid", "noexec", "nodev", "ro"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->set, static_cast<uint64_t>(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC |
                                                MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY));
  EXPECT_EQ(options->clear, 0U);
}

TEST(MountOptionsTest, TheLaterOfTwoOppositesCounts) {
  const auto options = ParseMountOptions({"ro", "rw", "noatime", "strictatime"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->set, static_cast<uint64_t>(MOUNT_ATTR_STRICTATIME));
  EXPECT_EQ(options->clear & MOUNT_ATTR_RDONLY, static_cast<uint64_t>(MOUNT_ATTR_RDONLY));
  EXPECT_EQ(options->clear & MOUNT_ATTR__ATIME, static_cast<uint64_t>(MOUNT_ATTR__ATIME));
}

TEST(MountOptionsTest, RecursiveOnesAreKeptApart) {
  const auto options = ParseMountOptions({"rbind", "rro", "rslave"});
  ASSERT_TRUE(options.ok());
  EXPECT_TRUE(options->bind);
  EXPECT_EQ(options->set, 0U);
  EXPECT_EQ(options->set_recursive, static_cast<uint64_t>(MOUNT_ATTR_RDONLY));
  EXPECT_EQ(options->propagation, static_cast<uint64_t>(MS_SLAVE));
  EXPECT_TRUE(options->propagation_recursive);
}

TEST(MountOptionsTest, RelatimeIsNotTakenForARecursiveElatime) {
  const auto options = ParseMountOptions({"relatime"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->clear, static_cast<uint64_t>(MOUNT_ATTR__ATIME));
  EXPECT_TRUE(options->data.empty());
}

TEST(MountOptionsTest, TheRestGoesToTheFileSystem) {
  const auto options = ParseMountOptions({"size=64k", "newinstance", "mode=1777"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->data, (std::vector<std::pair<std::string, std::string>>{
                               {"size", "64k"}, {"newinstance", ""}, {"mode", "1777"}}));
}

TEST(MountOptionsTest, WhatIsNotOfferedIsRefused) {
  EXPECT_EQ(ParseMountOptions({"remount"}).status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(ParseMountOptions({"size="}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace berth::shim
