#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "image/worker/layer_pipeline.h"
#include "image/worker/testing/archive_writer.h"
#include "image/worker/testing/worker_run.h"

namespace berth::worker {
namespace {

using namespace testing;  // NOLINT: the archive writer's names
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// One layer unpacked by the library, without confinement, into a directory of its own.
class LayerTest : public ::testing::Test {
 protected:
  void SetUp() override { umask(0); }

  absl::StatusOr<LayerDone> Unpack(const LayerSpec& layer, Limits limits = {}) {
    ASSIGN_OR_RETURN(const os::UniqueFd file,
                     os::MemFdWith("archive", Tar({File("l", layer.blob)})));
    ASSIGN_OR_RETURN(const OuterArchive archive, OuterArchive::Index(file.get()));
    ASSIGN_OR_RETURN(const os::UniqueFd staging, os::Open(dir_.path(), O_RDONLY | O_DIRECTORY));
    const LayerSource source = {"l", *Digest::Parse(layer.digest), layer.media_type,
                                layer.blob.size()};
    ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> blob, archive.Open("l"));
    const LayerTarget target = {staging.get(), "0", limits, &stop_};
    return UnpackLayer(blob.get(), *Digest::Parse(layer.diff_id), source, target);
  }
  absl::StatusOr<LayerDone> Unpack(const std::vector<TarEntry>& entries, Limits limits = {}) {
    return Unpack(PlainLayer(Tar(entries)), limits);
  }
  std::string Path(const std::string& name) const { return absl::StrCat(dir_.path(), "/0/", name); }
  struct stat Stat(const std::string& name) const {
    struct stat st = {};
    EXPECT_EQ(lstat(Path(name).c_str(), &st), 0) << name;
    return st;
  }
  std::string Read(const std::string& name) const {
    return os::ReadFile(Path(name), 1 << 20).value_or("absent");
  }
  bool IsWhiteoutAt(const std::string& name) const { return IsWhiteoutStat(Stat(name)); }
  static bool IsWhiteoutStat(const struct stat& st) {
    return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
  }

  TempDir dir_;
  std::atomic<bool> stop_{false};
};

TEST_F(LayerTest, EveryTypeOfEntryArrivesWithItsMetadata) {
  TarEntry file = File("usr/bin/su", "program", 04755);
  file.uid = 5;
  file.gid = 6;
  TarEntry sticky = Dir("tmp", 01777);
  sticky.mtime = 12345;
  TarEntry link = Symlink("usr/bin/lnk", "/etc/passwd");
  link.uid = 9;
  TarEntry device{"dev-null", '3'};
  device.mode = 0666;
  device.major = 1;
  device.minor = 3;
  TarEntry fifo{"fifo", '6'};
  fifo.mode = 0640;
  fifo.gid = 8;
  const auto done =
      Unpack({Dir("./"), Dir("usr/"), Dir("usr/bin/", 0750), file, sticky, link, device, fifo,
              File("tmp/inside", ""), Hardlink("usr/bin/again", "usr/bin/su")});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(Stat("usr/bin/su").st_mode, S_IFREG | 04755u);
  EXPECT_EQ(Stat("usr/bin/su").st_uid, 5u);
  EXPECT_EQ(Stat("usr/bin/su").st_gid, 6u);
  EXPECT_EQ(Stat("usr/bin/su").st_mtime, 1'000'000'000);
  EXPECT_EQ(Stat("usr/bin/su").st_nlink, 2u);
  EXPECT_EQ(Stat("usr/bin").st_mode, S_IFDIR | 0750u);
  EXPECT_EQ(Stat("tmp").st_mode, S_IFDIR | 01777u);
  EXPECT_EQ(Stat("tmp").st_mtime, 12345);
  EXPECT_EQ(Stat("usr/bin/lnk").st_uid, 9u);
  EXPECT_EQ(Stat("usr/bin/lnk").st_mtime, 1'000'000'000);
  EXPECT_EQ(Stat("dev-null").st_rdev, makedev(1, 3));
  EXPECT_EQ(Stat("dev-null").st_mode, S_IFCHR | 0666u);
  EXPECT_EQ(Stat("fifo").st_mode, S_IFIFO | 0640u);
  EXPECT_EQ(Stat("fifo").st_gid, 8u);
  EXPECT_EQ(done->inodes(), 9u);
  EXPECT_GT(done->bytes(), 0u);
  EXPECT_EQ(done->directory(), "0");
}

TEST_F(LayerTest, GzipAndZstdLayersAreTheSameTree) {
  const std::string tar = Tar({File("a", std::string(1'000'000, 'x'))});
  for (const LayerSpec& layer : {GzipLayer(tar), ZstdLayer(tar), PlainLayer(tar)}) {
    ASSERT_TRUE(Unpack(layer).ok());
    EXPECT_EQ(Stat("a").st_size, 1'000'000);
    ASSERT_TRUE(os::RemoveTree(AT_FDCWD, dir_.path() + "/0").ok());
  }
}

TEST_F(LayerTest, WhiteoutsBecomeOverlaysAndOpaqueDirectoriesAreReported) {
  const auto done =
      Unpack({Dir("etc/"), File("etc/.wh.passwd", ""), File("etc/.wh..wh..opq", ""),
              File("etc/new", "n"), File(".wh.gone", ""), File("a/b/.wh..wh..opq", ""),
              File(".wh..wh.plnk", ""), File(".wh..wh.plnk/1.2", "")});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_TRUE(IsWhiteoutAt("etc/passwd"));
  EXPECT_TRUE(IsWhiteoutAt("gone"));
  EXPECT_EQ(Read("etc/new"), "n");
  EXPECT_THAT(done->opaque_dirs(), ElementsAre("a/b", "etc"));
  EXPECT_THAT(Describe(dir_.path()), Not(HasSubstr(".wh.")));
}

TEST_F(LayerTest, TheRootMayBeOpaque) {
  const auto done = Unpack({File(".wh..wh..opq", "")});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_THAT(done->opaque_dirs(), ElementsAre("."));
}

TEST_F(LayerTest, AWhiteoutHidesLowerLayersOnly) {
  // Whichever comes first, what the layer has stays; a directory of it hides the lower one's rest.
  const auto done = Unpack({File("file", "kept"), File(".wh.file", ""), Dir("dir/"),
                            File("dir/x", "x"), File(".wh.dir", ""), File(".wh.late", ""),
                            File("late/y", "y"), File(".wh.later", ""), Dir("later/")});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(Read("file"), "kept");
  EXPECT_EQ(Read("dir/x"), "x");
  EXPECT_EQ(Read("late/y"), "y");
  EXPECT_THAT(done->opaque_dirs(), ElementsAre("dir", "late", "later"));
}

TEST_F(LayerTest, AnOpaqueDirectoryThatALaterEntryReplacesIsNotReported) {
  const auto done = Unpack({File("d/.wh..wh..opq", ""), File("d", "now a file")});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->opaque_dirs_size(), 0);
}

TEST_F(LayerTest, TheLastOfEntriesWithOneNameWins) {
  const auto done = Unpack({File("a", "1"), File("a", "2", 0600), Dir("b/"), File("b/c", ""),
                            File("b", "file"), Symlink("d", "nowhere"), Dir("d/"), File("e", "e"),
                            Symlink("e", "a"), Dir("f/", 0700), Dir("f/", 0711)});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(Read("a"), "2");
  EXPECT_EQ(Stat("a").st_mode, S_IFREG | 0600u);
  EXPECT_EQ(Read("b"), "file");
  EXPECT_TRUE(S_ISDIR(Stat("d").st_mode));
  EXPECT_TRUE(S_ISLNK(Stat("e").st_mode));
  EXPECT_EQ(Stat("f").st_mode, S_IFDIR | 0711u);
}

TEST_F(LayerTest, AFileOverAHardLinkLeavesTheOtherNameAlone) {
  const auto done = Unpack({File("a", "first"), Hardlink("b", "a"), File("b", "second", 04777)});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(Read("a"), "first");
  EXPECT_EQ(Stat("a").st_mode, S_IFREG | 0644u);
  EXPECT_EQ(Read("b"), "second");
}

TEST_F(LayerTest, AHardLinkToASymbolicLinkIsToTheLinkItself) {
  const auto done = Unpack({Symlink("l", "/etc/passwd"), Hardlink("h", "l"), Hardlink("l", "h")});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_TRUE(S_ISLNK(Stat("h").st_mode));
  EXPECT_EQ(Stat("h").st_ino, Stat("l").st_ino);
}

TEST_F(LayerTest, ParentsThroughLinksStayInTheRootAndDanglingOnesAreMade) {
  const auto done = Unpack({Symlink("lib", "usr/lib"), File("lib/a", "1"), Symlink("abs", "/x/y"),
                            File("abs/b", "2"), Symlink("up", "../../../../etc"), File("up/c", "3"),
                            Hardlink("d", "lib/a"), File("lib/.wh..wh..opq", "")});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(Read("usr/lib/a"), "1");
  EXPECT_EQ(Read("x/y/b"), "2");
  EXPECT_EQ(Read("etc/c"), "3");
  EXPECT_EQ(Read("d"), "1");
  EXPECT_EQ(Stat("usr").st_mode, S_IFDIR | 0755u);
  EXPECT_THAT(done->opaque_dirs(), ElementsAre("usr/lib"));
}

TEST_F(LayerTest, NamesAreBytes) {
  const std::string nfd = "e\xcc\x81";  // libarchive turns it into NFC in a UTF-8 locale
  const std::string latin = "caf\xe9";
  const std::string deep = absl::StrCat(std::string(100, 'd'), "/", std::string(200, 'f'));
  TarEntry pax{"short", '0'};
  pax.pax["path"] = nfd + "pax";
  pax.content = "p";
  TarEntry link = Symlink("link", "x");
  link.pax["linkpath"] = nfd + std::string(300, 't');
  const auto done = Unpack(
      {File(nfd, "1"), File(latin, "2"), File(deep, "3"), pax, link, Hardlink("h", nfd + "pax")});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(Read(nfd), "1");
  EXPECT_EQ(Read(latin), "2");
  EXPECT_EQ(Read(deep), "3");
  EXPECT_EQ(Read(nfd + "pax"), "p");
  EXPECT_EQ(Read("h"), "p");
  EXPECT_THAT(Describe(dir_.path()), HasSubstr("-> " + nfd + std::string(300, 't')));
}

TEST_F(LayerTest, CapabilitiesAndUserAttributesAreKeptAndNoOthers) {
  // A version 2 file capability: net_bind_service, effective.
  const std::string capability(
      "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00",
      20);
  TarEntry file = File("f", "x", 0755);
  file.uid = 3;
  file.pax = {{"SCHILY.xattr.security.capability", capability},
              {"SCHILY.xattr.user.note", "v"},
              {"SCHILY.xattr.user.overlay.opaque", "y"},
              {"SCHILY.xattr.trusted.overlay.opaque", "y"},
              {"SCHILY.xattr.security.selinux", "label"}};
  const auto done = Unpack({file});
  ASSERT_TRUE(done.ok()) << done.status();
  char names[512];
  const ssize_t n = listxattr(Path("f").c_str(), names, sizeof names);
  ASSERT_GT(n, 0);
  const std::string list(names, static_cast<size_t>(n));
  EXPECT_THAT(list, HasSubstr("security.capability"));
  EXPECT_THAT(list, HasSubstr("user.note"));
  EXPECT_THAT(list, Not(HasSubstr("overlay")));
  EXPECT_THAT(list, Not(HasSubstr("selinux")));
}

TEST_F(LayerTest, SparseFilesKeepTheirHoles) {
  // GNU.sparse 1.0: the map (two extents, one of them the empty end) comes before the data.
  TarEntry file{"s", '0'};
  std::string map = "2\n1048576\n4\n4194304\n0\n";
  map.resize(512, '\0');
  file.content = map + "data";
  file.pax = {{"GNU.sparse.major", "1"},
              {"GNU.sparse.minor", "0"},
              {"GNU.sparse.name", "s"},
              {"GNU.sparse.realsize", "4194304"}};
  const auto done = Unpack({file});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(Stat("s").st_size, 4194304);
  EXPECT_LT(Stat("s").st_blocks, 64);
  EXPECT_EQ(os::ReadFile(Path("s"), 8 << 20)->substr(1048576, 4), "data");
}

TEST_F(LayerTest, BothDigestsAndTheMediaTypeMustMatch) {
  const LayerSpec good = GzipLayer(Tar({File("a", "b")}));
  LayerSpec wrong_diff = good;
  wrong_diff.diff_id = DigestOf("other").str();
  absl::Status s = Unpack(wrong_diff).status();
  EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(s.message()),
              HasSubstr(absl::StrCat("expected ", wrong_diff.diff_id, ", found ", good.diff_id)));
  ASSERT_TRUE(os::RemoveTree(AT_FDCWD, dir_.path() + "/0").ok());

  LayerSpec wrong_blob = good;
  wrong_blob.digest = DigestOf("other").str();
  s = Unpack(wrong_blob).status();
  EXPECT_THAT(std::string(s.message()),
              HasSubstr(absl::StrCat("the blob's digest does not match: expected ",
                                     wrong_blob.digest, ", found ", good.digest)));
  ASSERT_TRUE(os::RemoveTree(AT_FDCWD, dir_.path() + "/0").ok());

  LayerSpec wrong_type = good;
  wrong_type.media_type = "application/vnd.oci.image.layer.v1.tar+zstd";
  s = Unpack(wrong_type).status();
  EXPECT_THAT(std::string(s.message()), HasSubstr("its bytes are gzip"));
}

TEST_F(LayerTest, LimitsOfBytesAndEntriesHold) {
  Limits small;
  small.max_layer_bytes = 1 << 20;
  absl::Status s =
      Unpack(GzipLayer(Tar({File("bomb", std::string(64 << 20, '\0'))})), small).status();
  EXPECT_EQ(s.code(), absl::StatusCode::kResourceExhausted) << s;
  ASSERT_TRUE(os::RemoveTree(AT_FDCWD, dir_.path() + "/0").ok());
  small = {};
  small.max_entries = 10;
  s = Unpack(std::vector<TarEntry>(11, File("a", "")), small).status();
  EXPECT_EQ(s.code(), absl::StatusCode::kResourceExhausted) << s;
}

TEST_F(LayerTest, AnEmptyLayerIsAnEmptyDirectory) {
  for (const std::string& tar : {std::string(), Tar({}), std::string(10240, '\0')}) {
    const auto done = Unpack(PlainLayer(tar));
    ASSERT_TRUE(done.ok()) << done.status();
    EXPECT_EQ(done->inodes(), 1u);
    ASSERT_TRUE(os::RemoveTree(AT_FDCWD, dir_.path() + "/0").ok());
  }
}

}  // namespace
}  // namespace berth::worker
