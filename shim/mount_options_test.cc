#include "shim/mount_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

namespace berth::shim {
namespace {

using ::testing::ElementsAre;

// What one option alone becomes.
struct Row {
  const char* option;
  uint64_t set = 0;
  uint64_t clear = 0;
};

// config.md, "Linux mount options", the rows that are properties of a mount.
constexpr Row kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
};

TEST(MountOptionsTest, EachAttributeOfTheTableBecomesItsBits) {
  for (const Row& row : kAttributes) {
    const auto options = ParseMountOptions({row.option});
    ASSERT_TRUE(options.ok()) << row.option;
    EXPECT_EQ(options->set, row.set) << row.option;
    EXPECT_EQ(options->clear, row.clear) << row.option;
    EXPECT_EQ(options->set_recursive | options->clear_recursive, 0U) << row.option;
    EXPECT_TRUE(options->data.empty()) << row.option;
  }
}

TEST(MountOptionsTest, EachHasARecursiveFormThatIsKeptApart) {
  for (const Row& row : kAttributes) {
    const std::string option = std::string("r") + row.option;
    const auto options = ParseMountOptions({option});
    ASSERT_TRUE(options.ok()) << option;
    EXPECT_EQ(options->set_recursive, row.set) << option;
    EXPECT_EQ(options->clear_recursive, row.clear) << option;
    EXPECT_EQ(options->set | options->clear, 0U) << option;
    EXPECT_TRUE(options->data.empty()) << option;
  }
}

TEST(MountOptionsTest, EachPropagationOfTheTableBecomesItsType) {
  const std::pair<const char*, uint64_t> rows[] = {{"private", MS_PRIVATE},
                                                   {"slave", MS_SLAVE},
                                                   {"shared", MS_SHARED},
                                                   {"unbindable", MS_UNBINDABLE}};
  for (const auto& [name, type] : rows) {
    for (const bool recursive : {false, true}) {
      const std::string option = std::string(recursive ? "r" : "") + name;
      const auto options = ParseMountOptions({option});
      ASSERT_TRUE(options.ok()) << option;
      EXPECT_EQ(options->propagation, type) << option;
      EXPECT_EQ(options->propagation_recursive, recursive) << option;
      EXPECT_THAT(options->propagations, ElementsAre(std::make_pair(type, recursive))) << option;
    }
  }
}

TEST(MountOptionsTest, PropagationsKeepTheirOrder) {
  const auto options = ParseMountOptions({"rslave", "shared"});
  ASSERT_TRUE(options.ok());
  EXPECT_THAT(options->propagations, ElementsAre(std::make_pair(uint64_t{MS_SLAVE}, true),
                                                 std::make_pair(uint64_t{MS_SHARED}, false)));
}

TEST(MountOptionsTest, FlagsOfEveryFileSystemAreKeptAsSuch) {
  for (const char* option :
       {"sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand"}) {
    const auto options = ParseMountOptions({option});
    ASSERT_TRUE(options.ok()) << option;
    EXPECT_THAT(options->super_flags, ElementsAre(option));
    EXPECT_TRUE(options->data.empty()) << option;
  }
  EXPECT_THAT(ParseMountOptions({"sync", "async", "lazytime"})->super_flags,
              ElementsAre("async", "lazytime"));
}

TEST(MountOptionsTest, WhatIsMountsOwnOrShowsNowhereIsPassedOver) {
  const auto options =
      ParseMountOptions({"", "defaults", "silent", "loud", "iversion", "noiversion", "auto",
                         "noauto", "nofail", "_netdev", "x-systemd.automount", "comment=mine"});
  ASSERT_TRUE(options.ok());
  EXPECT_TRUE(options->data.empty());
  EXPECT_TRUE(options->super_flags.empty());
  EXPECT_EQ(options->set | options->clear, 0U);
}

TEST(MountOptionsTest, WhatMount8ImpliesIsSetAndCanBeTakenBack) {
  const auto options = ParseMountOptions({"user", "exec"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->set, static_cast<uint64_t>(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
}

TEST(MountOptionsTest, ActionsAreTold) {
  EXPECT_TRUE(ParseMountOptions({"bind"})->bind);
  EXPECT_FALSE(ParseMountOptions({"bind"})->recursive);
  EXPECT_TRUE(ParseMountOptions({"rbind"})->bind);
  EXPECT_TRUE(ParseMountOptions({"rbind"})->recursive);
  EXPECT_TRUE(ParseMountOptions({"remount"})->remount);
  EXPECT_TRUE(ParseMountOptions({"tmpcopyup"})->copy_up);
  EXPECT_TRUE(ParseMountOptions({"idmap"})->map_ids);
  EXPECT_FALSE(ParseMountOptions({"idmap"})->map_recursive);
  EXPECT_TRUE(ParseMountOptions({"ridmap"})->map_recursive);
}

TEST(MountOptionsTest, TheLaterOfTwoOppositesCounts) {
  const auto options = ParseMountOptions({"ro", "rw", "noatime", "strictatime"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->set, static_cast<uint64_t>(MOUNT_ATTR_STRICTATIME));
  EXPECT_EQ(options->clear & MOUNT_ATTR_RDONLY, static_cast<uint64_t>(MOUNT_ATTR_RDONLY));
  EXPECT_EQ(options->clear & MOUNT_ATTR__ATIME, static_cast<uint64_t>(MOUNT_ATTR__ATIME));
}

TEST(MountOptionsTest, TheRestGoesToTheFileSystem) {
  const auto options = ParseMountOptions({"size=64k", "newinstance", "mode=1777"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->data, (std::vector<std::pair<std::string, std::string>>{
                               {"size", "64k"}, {"newinstance", ""}, {"mode", "1777"}}));
}

TEST(MountOptionsTest, WhatCannotBeAnOptionIsRefused) {
  EXPECT_EQ(ParseMountOptions({"size="}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseMountOptions({"=64k"}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace berth::shim
