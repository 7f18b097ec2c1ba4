// Whiteouts, opaque directories and devices need root.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "absl/strings/str_cat.h"
#include "base/os/test_dir.h"
#include "image/user_lookup.h"

namespace berth::image {
namespace {

class LayerViewTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Write("low/etc/passwd", "low");
    Write("low/etc/group", "low");
    ASSERT_TRUE(os::MakeDirs(dir_ / "top/etc", 0755).ok());
    lowers_ = {dir_ / "top", dir_ / "low"};
  }
  void Write(const std::string& path, const std::string& text) {
    const std::string file = dir_ / path;
    ASSERT_TRUE(os::MakeDirs(file.substr(0, file.rfind('/')), 0755).ok());
    absl::StatusOr<os::UniqueFd> fd = os::Open(file, O_WRONLY | O_CREAT, 0644);
    ASSERT_TRUE(fd.ok()) << fd.status();
    ASSERT_TRUE(os::WriteAll(fd->get(), text).ok());
  }
  void Whiteout(const std::string& path) {
    ASSERT_EQ(mknod((dir_ / path).c_str(), S_IFCHR, makedev(0, 0)), 0);
  }
  void MakeOpaque(const std::string& path) {
    ASSERT_EQ(setxattr((dir_ / path).c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  }

  os::TestDir dir_;
  std::vector<std::string> lowers_;
};

TEST_F(LayerViewTest, AWhiteoutHidesTheFileBelow) {
  Whiteout("top/etc/passwd");
  EXPECT_EQ(*ReadThroughLayers(lowers_, "/etc/passwd"), std::nullopt);
  EXPECT_EQ(*ReadThroughLayers(lowers_, "/etc/group"), "low");
}

TEST_F(LayerViewTest, AWhiteoutOfADirectoryHidesAllOfItUntilALayerAboveMakesItAgain) {
  ASSERT_TRUE(os::RemoveTree(AT_FDCWD, dir_ / "top/etc").ok());
  Whiteout("top/etc");
  EXPECT_EQ(*ReadThroughLayers(lowers_, "/etc/passwd"), std::nullopt);
  Write("over/etc/group", "over");
  lowers_.insert(lowers_.begin(), dir_ / "over");
  EXPECT_EQ(*ReadThroughLayers(lowers_, "/etc/group"), "over");
  EXPECT_EQ(*ReadThroughLayers(lowers_, "/etc/passwd"), std::nullopt);
}

TEST_F(LayerViewTest, AnOpaqueDirectoryShowsOnlyItself) {
  Write("top/etc/group", "top");
  MakeOpaque("top/etc");
  EXPECT_EQ(*ReadThroughLayers(lowers_, "/etc/group"), "top");
  EXPECT_EQ(*ReadThroughLayers(lowers_, "/etc/passwd"), std::nullopt);
}

TEST_F(LayerViewTest, ADeviceIsRefusedAndNotOpened) {
  ASSERT_EQ(mknod((dir_ / "top/etc/passwd").c_str(), S_IFCHR | 0644, makedev(1, 5)), 0);
  EXPECT_EQ(ReadThroughLayers(lowers_, "/etc/passwd").status().code(),
            absl::StatusCode::kInvalidArgument);
}

// The kernel's own answer for the same layers.
TEST_F(LayerViewTest, AgreesWithTheKernelsOverlay) {
  Write("top/a/own", "1");
  Write("low/a/below", "2");
  Write("top/b/own", "3");
  MakeOpaque("top/b");
  Write("low/b/below", "4");
  ASSERT_TRUE(os::MakeDirs(dir_ / "top/c", 0755).ok());
  Write("low/c", "a file below a directory");
  Write("low/d/below", "5");
  Whiteout("top/d");
  ASSERT_EQ(symlink("a/below", (dir_ / "top/link").c_str()), 0);
  const std::string mount_point = dir_ / "merged";
  ASSERT_EQ(mkdir(mount_point.c_str(), 0755), 0);
  const std::string options = "lowerdir=" + lowers_[0] + ":" + lowers_[1];
  if (mount("overlay", mount_point.c_str(), "overlay", MS_RDONLY, options.c_str()) != 0) {
    GTEST_SKIP() << "overlay cannot be mounted here";
  }
  for (const std::string path : {"a/own", "a/below", "b/own", "b/below", "c", "d", "d/below",
                                 "link", "etc/passwd", "none"}) {
    absl::StatusOr<std::string> kernel = os::ReadFile(absl::StrCat(mount_point, "/", path), 4096);
    absl::StatusOr<std::optional<std::string>> ours = ReadThroughLayers(lowers_, "/" + path);
    EXPECT_EQ(kernel.ok(), ours.ok() && ours->has_value()) << path;
    if (kernel.ok() && ours.ok() && ours->has_value()) EXPECT_EQ(**ours, *kernel) << path;
  }
  EXPECT_EQ(umount2(mount_point.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace berth::image
