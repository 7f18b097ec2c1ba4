// The real berth-image, started as berthd starts it, over good and hostile archives. Beside the
// staging directory stands a canary tree that no archive may change.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "image/worker/testing/archive_writer.h"
#include "image/worker/testing/worker_run.h"

namespace berth::worker {
namespace {

using namespace testing;  // NOLINT: the archive writer's names
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ImportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(mkdir(Path("staging").c_str(), 0700), 0);
    ASSERT_EQ(mkdir(Path("canary").c_str(), 0755), 0);
    Write("canary/file", "untouched");
    canary_ = Describe(Path("canary"));
  }
  void TearDown() override { EXPECT_EQ(Describe(Path("canary")), canary_); }

  std::string Path(const std::string& name) const { return absl::StrCat(dir_.path(), "/", name); }
  void Write(const std::string& name, const std::string& data) {
    auto fd = os::Open(Path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_TRUE(fd.ok() && os::WriteAll(fd->get(), data).ok());
  }
  absl::StatusOr<WorkerResult> Run(const std::string& archive, const WorkerOptions& options = {}) {
    Write("archive.tar", archive);
    return RunWorker(Path("archive.tar"), Path("staging"), options);
  }

  TempDir dir_;
  std::string canary_;
};

TEST_F(ImportTest, AnOciLayoutIsUnpackedLayerByLayer) {
  const LayerSpec base = GzipLayer(Tar({Dir("etc/"), File("etc/a", "base")}));
  const LayerSpec top = ZstdLayer(Tar({File("etc/.wh.a", ""), File("etc/b", "top")}));
  const auto result = Run(OciArchive({base, top}, "docker.io/library/x:1", R"({"Cmd":["/a"]})"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(WIFEXITED(result->wait_status) && WEXITSTATUS(result->wait_status) == 0);
  ASSERT_EQ(result->plan.images_size(), 1);
  EXPECT_THAT(result->plan.images(0).config().cmd(), ElementsAre("/a"));
  EXPECT_GE(result->plan.confinement().landlock_abi(), 1u);
  EXPECT_EQ(result->plan.confinement().missing_size(), 0);
  ASSERT_EQ(result->layers.size(), 2u);
  const std::string lower = Path("staging/" + result->layers.at(base.diff_id).directory());
  EXPECT_EQ(os::ReadFile(lower + "/etc/a", 10).value_or("?"), "base");
  EXPECT_THAT(Describe(Path("staging/" + result->layers.at(top.diff_id).directory())),
              HasSubstr("./etc/a 20000 0:0 0:0\n"));
}

TEST_F(ImportTest, LayersThatTheDaemonHasAreNotUnpacked) {
  const LayerSpec one = PlainLayer(Tar({File("one", "")}));
  const LayerSpec two = GzipLayer(Tar({File("two", "")}));
  const auto result = Run(DockerArchive({one, two}, DockerPaths::kBlobs), {.have = {one.diff_id}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->layers.size(), 1u);
  EXPECT_EQ(result->layers.count(two.diff_id), 1u);
}

TEST_F(ImportTest, ADaemonThatHangsUpEndsTheWorker) {
  const auto result = Run(OciArchive({}), {.hang_up_after_plan = true});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(WIFEXITED(result->wait_status)) << result->wait_status;
}

TEST_F(ImportTest, ABadArgumentIsRefused) {
  EXPECT_FALSE(Run(OciArchive({}), {.arguments = {"--max-layer-bytes=x"}}).ok());
}

struct HostileLayer {
  const char* name;
  std::vector<TarEntry> entries;
  const char* refusal;  // part of the message; "" = unpacked, inside the root
};

TarEntry WithPax(TarEntry entry, const std::string& key, const std::string& value) {
  entry.pax[key] = value;
  return entry;
}

TarEntry With(TarEntry entry, void (*change)(TarEntry*)) {
  change(&entry);
  return entry;
}

std::vector<TarEntry> DeepTree(int depth) {
  std::string path;
  for (int i = 0; i < depth; ++i) path += "d/";
  return {Dir(path)};
}

// A link that doubles the depth each time it is used.
std::vector<TarEntry> DepthThroughLinks() {
  std::vector<TarEntry> entries;
  std::string path;
  for (int i = 0; i < 200; ++i) path += "d/";
  entries.push_back(Dir(path));
  entries.push_back(Symlink("s", path));
  entries.push_back(Dir("s/" + path));
  return entries;
}

// A sparse map of millions of extents, which libarchive would keep in memory.
TarEntry SparseBomb() {
  TarEntry file{"s", '0'};
  file.content = "9000000\n";
  for (int i = 0; i < 2'000'000; ++i) file.content += "0\n0\n";
  file.pax = {{"GNU.sparse.major", "1"},
              {"GNU.sparse.minor", "0"},
              {"GNU.sparse.name", "s"},
              {"GNU.sparse.realsize", "4194304"}};
  return file;
}

const std::vector<HostileLayer>& HostileLayers() {
  static const auto* layers = new std::vector<HostileLayer>{
      {"climbing", {File("../canary/file", "x")}, "\"..\" in a name"},
      {"climbing later", {Dir("a/"), File("a/../../canary/file", "x")}, "\"..\" in a name"},
      {"climbing directory", {Dir("a/b/../../../canary")}, "\"..\" in a name"},
      {"absolute", {File("/canary/file", "x")}, ""},
      {"many slashes", {File("//././canary//file", "x")}, ""},
      {"root is a file", {File(".", "x")}, "not a directory"},
      {"root is a link", {Symlink(".", "/etc")}, "not a directory"},
      {"write through an absolute link", {Symlink("l", "/tmp"), File("l/f", "x")}, ""},
      {"write through a climbing link", {Symlink("l", "../canary"), File("l/file", "x")}, ""},
      {"write over a link", {Symlink("l", "../canary/file"), File("l", "x", 04777)}, ""},
      {"directory over a link", {Symlink("l", "../canary"), Dir("l", 0777), File("l/x", "")}, ""},
      {"link loop", {Symlink("a", "b"), Symlink("b", "a"), File("a/f", "x")}, "too many symbolic"},
      {"link to proc", {Symlink("p", "/proc/self/fd/5"), File("p/f", "x")}, ""},
      {"hard link out", {Hardlink("h", "../canary/file")}, "\"..\" in a name"},
      {"hard link absolute", {Hardlink("h", "/etc/passwd")}, "no directory"},
      {"hard link through a link", {Symlink("l", "/etc"), Hardlink("h", "l/passwd")}, "hard link"},
      {"hard link to nothing", {Hardlink("h", "absent")}, "hard link to \"absent\""},
      {"hard link to a directory", {Dir("d/"), Hardlink("h", "d")}, "a directory"},
      {"hard link to the root", {Hardlink("h", "/")}, "a directory"},
      {"hard link to itself", {Hardlink("h", "h")}, "hard link"},
      {"hard link to a whiteout", {File(".wh.w", ""), Hardlink("h", "w")}, "absent"},
      {"hard link into what it replaces",
       {Dir("a/"), File("a/b", ""), Hardlink("a", "a/b")},
       "hard link"},
      {"setuid through a hard link",
       {Symlink("l", "/canary/file"), Hardlink("h", "l"), File("h", "x", 06777)},
       ""},
      {"whiteout of dotdot", {File(".wh...", "")}, "a whiteout of no name"},
      {"whiteout of dot", {File(".wh..", "")}, "a whiteout of no name"},
      {"whiteout of nothing", {File(".wh.", "")}, "a whiteout of no name"},
      {"whiteout above", {File("../.wh.canary", "")}, "\"..\" in a name"},
      {"whiteout through a link", {Symlink("l", "/canary"), File("l/.wh.file", "")}, ""},
      {"below a whiteout", {File(".wh.d/x", "")}, "below a whiteout"},
      {"device 0:0", {TarEntry{"w", '3'}}, "character device 0:0"},
      {"parent is a file", {File("f", ""), File("f/x", "")}, "is not a directory"},
      {"parent is a device",
       {With(TarEntry{"n", '3'}, [](TarEntry* e) { e->major = 1; }), File("n/x", "")},
       "is not a directory"},
      {"bad checksum",
       {With(File("a", ""), [](TarEntry* e) { e->bad_checksum = true; })},
       "read tar"},
      {"bad checksum later",
       {File("first", ""), With(File("a", ""), [](TarEntry* e) { e->bad_checksum = true; })},
       "read tar header after entry \"first\""},
      {"cut off",
       {With(File("a", "x"), [](TarEntry* e) { e->size_in_header = 1 << 20; })},
       "runcated"},
      {"huge size", {WithPax(File("a", ""), "size", "9000000000000000000")}, "a file of"},
      {"negative size", {WithPax(File("a", ""), "size", "-5")}, "unpack"},
      {"huge pax header",
       {WithPax(File("a", ""), "comment", std::string(2 << 20, 'c'))},
       "read tar header"},
      {"sparse map bomb", {SparseBomb()}, "of headers"},
      {"headers without end", std::vector<TarEntry>(20'000, TarEntry{"g", 'g'}), "special headers"},
      {"pax that lies",
       {With(TarEntry{"x", 'x'}, [](TarEntry* e) { e->content = "99999 path=a\n"; }),
        File("a", "")},
       "read tar header"},
      {"owner out of range", {WithPax(File("a", ""), "uid", "4294967295")}, "out of range"},
      {"owner far out of range", {WithPax(File("a", ""), "gid", "99999999999")}, "out of range"},
      {"name too long", {File(std::string(5000, 'n'), "")}, "a name of 5000 bytes"},
      {"component too long", {File(std::string(256, 'n'), "")}, "more than 255 bytes"},
      {"too deep", DeepTree(300), "deeper than 256"},
      {"too deep through links", DepthThroughLinks(), "deeper than 256"},
      {"unknown type", {TarEntry{"v", 'V'}}, ""},
      {"empty link", {Symlink("l", "")}, "link without target"},
      {"name with NUL in pax",
       {WithPax(File("a", ""), "path", std::string("ok\0/../../x", 11))},
       ""},
      {"mode bits beyond", {File("a", "", 07777777)}, ""},
      {"far times", {WithPax(File("a", ""), "mtime", "99999999999999999999.5")}, ""},
      {"directory replaced again and again",
       {Dir("d/"), File("d/x", ""), File("d", ""), Dir("d/"), File("d/y", ""), Symlink("d", "/"),
        File("d/z", "in the root")},
       ""},
  };
  return *layers;
}

TEST_F(ImportTest, HostileLayersAreRefusedOrStayInside) {
  for (const HostileLayer& layer : HostileLayers()) {
    SCOPED_TRACE(layer.name);
    const auto result = Run(OciArchive({GzipLayer(Tar(layer.entries))}));
    if (absl::string_view(layer.refusal).empty()) {
      EXPECT_TRUE(result.ok()) << result.status();
    } else {
      EXPECT_FALSE(result.ok());
      EXPECT_THAT(std::string(result.status().message()), HasSubstr(layer.refusal));
      EXPECT_TRUE(absl::IsInvalidArgument(result.status()) ||
                  absl::IsResourceExhausted(result.status()))
          << result.status();
    }
    EXPECT_EQ(Describe(Path("canary")), canary_);
    // The daemon can always take the remains away.
    ASSERT_TRUE(os::RemoveTree(AT_FDCWD, Path("staging")).ok());
    ASSERT_EQ(mkdir(Path("staging").c_str(), 0700), 0);
  }
}

struct HostileArchive {
  const char* name;
  std::string bytes;
  const char* refusal;
};

TEST_F(ImportTest, HostileArchivesAreRefused) {
  const std::string tar = Tar({File("a", "b")});
  const LayerSpec good = GzipLayer(tar);
  LayerSpec garbage = good;
  garbage.blob += "garbage";
  garbage.digest = DigestOf(garbage.blob).str();
  LayerSpec wrong_diff = good;
  wrong_diff.diff_id = DigestOf("x").str();
  LayerSpec wrong_type = good;
  wrong_type.media_type = "application/vnd.oci.image.layer.v1.tar";
  LayerSpec encrypted = good;
  encrypted.media_type += "+encrypted";
  OciLayout corrupt;
  const std::string corrupt_image = corrupt.AddImage({good}, ConfigJson({good}));
  std::string other = good.blob;
  other[9] = static_cast<char>(other[9] ^ 1);  // gzip's OS byte: inflates, hashes differently
  corrupt.Corrupt(good.digest, other);
  const std::string whole = OciArchive({good});
  const std::vector<HostileArchive> cases = {
      {"gzip with garbage", OciArchive({garbage}), "trailing bytes"},
      {"wrong diffID", OciArchive({wrong_diff}), "the diffID does not match: expected sha256:"},
      {"wrong mediaType", OciArchive({wrong_type}), "its bytes are gzip"},
      {"encrypted", OciArchive({encrypted}), "is not supported"},
      {"wrong blob", corrupt.Archive({corrupt_image}), "the blob's digest does not match"},
      {"cut off", whole.substr(0, whole.size() / 2), "read"},
      {"nothing", "", "neither an OCI image layout"},
      {"gzip bomb", OciArchive({GzipLayer(Tar({File("z", std::string(64 << 20, '\0'))}))}),
       "at most 1048576"},
      {"padding bomb", OciArchive({GzipLayer(tar + std::string(64 << 20, '\0'))}),
       "more than 1048576 bytes"},
  };
  for (const HostileArchive& c : cases) {
    SCOPED_TRACE(c.name);
    const auto result = Run(c.bytes, {.arguments = {"--max-layer-bytes=1048576"}});
    EXPECT_FALSE(result.ok());
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(c.refusal));
    ASSERT_TRUE(os::RemoveTree(AT_FDCWD, Path("staging")).ok());
    ASSERT_EQ(mkdir(Path("staging").c_str(), 0700), 0);
  }
}

TEST_F(ImportTest, ManyLayersAreUnpackedSideBySide) {
  std::vector<LayerSpec> layers;
  layers.reserve(40);
  for (int i = 0; i < 40; ++i) {
    layers.push_back(GzipLayer(Tar({File(absl::StrCat("f", i), std::string(100'000, 'x'))})));
  }
  const auto result = Run(OciArchive(layers));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->layers.size(), 40u);
}

}  // namespace
}  // namespace berth::worker
