// The image store with the real worker, on archives made here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/os/test_dir.h"
#include "image/image_store.h"
#include "tests/fixtures/leak.h"
#include "tests/images/archive_writer.h"

namespace berth::image {
namespace {

using test::Break;
using test::Dir;
using test::DockerArchive;
using test::File;
using test::ImageId;
using test::MakeTar;
using test::OciLayout;
using test::TestImage;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string& BaseLayer() {
  static const auto* tar =
      new std::string(MakeTar({Dir("etc"), File("etc/passwd", "app:x:1000:1000::/app:/bin/sh\n"),
                               File("bin/app", "#!", 0755)}));
  return *tar;
}

std::string TopLayer(const std::string& text) { return MakeTar({File("top", text)}); }

class ImageStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(mkdir((dir_ / "data").c_str(), 0700), 0);
    ASSERT_EQ(mkdir((dir_ / "import").c_str(), 0700), 0);
    OpenStore();
  }
  void TearDown() override { EXPECT_TRUE(failpoint::Configure("").ok()); }

  ImageStore::Options Options() {
    ImageStore::Options options;
    options.data_dir = dir_ / "data";
    options.worker_path = BERTH_IMAGE_PATH;
    options.import_timeout = absl::Minutes(1);
    return options;
  }
  void OpenStore() {
    images_.reset();
    absl::StatusOr<std::unique_ptr<ImageStore>> opened =
        ImageStore::Open(Options(), records_.get());
    ASSERT_TRUE(opened.ok()) << opened.status();
    images_ = *std::move(opened);
  }
  void Write(const std::string& path, const std::string& bytes) {
    absl::StatusOr<os::UniqueFd> fd = os::Open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ASSERT_TRUE(fd.ok()) << fd.status();
    ASSERT_TRUE(os::WriteAll(fd->get(), bytes).ok());
  }
  absl::StatusOr<std::vector<ImagePtr>> Import(const std::string& archive,
                                               const std::string& name = "", bool pinned = false) {
    absl::StatusOr<os::UniqueFd> fd = os::MemFdWith("archive", archive);
    if (!fd.ok()) return fd.status();
    return images_->Import(*std::move(fd), {"test.tar", name, pinned});
  }
  ImagePtr ImportOne(const std::string& archive, const std::string& name = "") {
    absl::StatusOr<std::vector<ImagePtr>> images = Import(archive, name);
    EXPECT_TRUE(images.ok()) << images.status();
    return images.ok() && images->size() == 1 ? images->front() : nullptr;
  }
  std::vector<std::string> Names(const std::string& directory) {
    return *os::ListDir(AT_FDCWD, dir_ / "data/" + directory);
  }
  // What a store opened afresh, after its background work, has left.
  void ExpectNothingLeft(size_t layers) {
    images_.reset();
    OpenStore();
    images_.reset();  // joins the deletion
    EXPECT_THAT(Names("layers"), SizeIs(layers));
    EXPECT_THAT(Names("staging"), IsEmpty());
    OpenStore();
    EXPECT_TRUE(testing::Eventually([&] { return Names("trash").empty(); }, absl::Seconds(20)));
  }
  std::string LayerFile(const ImagePtr& image, size_t layer, const std::string& path) {
    return dir_ / "data/layers/" + image->layers[layer].hex() + "/" + path;
  }
  size_t Rows(const std::string& kind) { return records_->Load(kind)->size(); }

  os::TestDir dir_;
  std::unique_ptr<store::Store> records_ = store::MakeMemoryStore();
  std::unique_ptr<ImageStore> images_;
};

TEST_F(ImageStoreTest, ImportsADockerArchive) {
  const TestImage image{{"app:1"},
                        {BaseLayer(), TopLayer("x")},
                        R"({"Cmd":["/bin/app"],"Env":["A=b"],"User":"app","WorkingDir":"/w"})"};
  const ImagePtr got = ImportOne(DockerArchive({image}));
  ASSERT_NE(got, nullptr);
  EXPECT_EQ(got->id.str(), ImageId(image));
  EXPECT_THAT(got->repo_tags, ElementsAre("docker.io/library/app:1"));
  EXPECT_THAT(got->repo_digests, IsEmpty());
  EXPECT_THAT(got->config.cmd, ElementsAre("/bin/app"));
  EXPECT_THAT(got->config.env, ElementsAre("A=b"));
  EXPECT_EQ(got->config.user, "app");
  EXPECT_FALSE(got->pinned);
  EXPECT_THAT(got->layers, SizeIs(2));
  EXPECT_EQ(*os::ReadFile(LayerFile(got, 0, "etc/passwd"), 100), "app:x:1000:1000::/app:/bin/sh\n");
  EXPECT_EQ(*os::ReadFile(LayerFile(got, 1, "top"), 100), "x");
  EXPECT_THAT(images_->LowerPaths(got->layers),
              ElementsAre("layers/" + got->layers[1].hex(), "layers/" + got->layers[0].hex()));
  EXPECT_THAT(images_->List(), ElementsAre(got));
  EXPECT_EQ(images_->Find("app:1"), got);
  EXPECT_THAT(Names("staging"), IsEmpty());
}

TEST_F(ImageStoreTest, ImportsAnOciLayoutWithItsDigests) {
  const ImagePtr got = ImportOne(OciLayout({{{"h.io/x/app:1", "h.io/x/app:2"}, {BaseLayer()}}}));
  ASSERT_NE(got, nullptr);
  EXPECT_THAT(got->repo_tags, ElementsAre("h.io/x/app:1", "h.io/x/app:2"));
  ASSERT_THAT(got->repo_digests, SizeIs(1));
  EXPECT_TRUE(absl::StartsWith(got->repo_digests[0], "h.io/x/app@sha256:"));
  EXPECT_EQ(images_->Find(got->repo_digests[0]), got);
}

TEST_F(ImageStoreTest, ANameGivenReplacesThoseOfTheArchive) {
  const ImagePtr got = ImportOne(DockerArchive({{{"app:1"}, {BaseLayer()}}}), "other");
  ASSERT_NE(got, nullptr);
  EXPECT_THAT(got->repo_tags, ElementsAre("docker.io/library/other:latest"));
  for (const std::string& name : {std::string("Bad Name"), "app@sha256:" + std::string(64, 'a')}) {
    EXPECT_EQ(Import(DockerArchive({{{"app:1"}, {TopLayer("y")}}}), name).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(Import(DockerArchive({{{"a:1"}, {BaseLayer()}}, {{"b:1"}, {TopLayer("y")}}}), "n")
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
  ExpectNothingLeft(1);
}

TEST_F(ImageStoreTest, SurvivesReopening) {
  const ImagePtr before = ImportOne(OciLayout({{{"app:1"}, {BaseLayer(), TopLayer("x")}}}));
  OpenStore();
  const ImagePtr after = images_->Find("app:1");
  ASSERT_NE(after, nullptr);
  EXPECT_EQ(after->id, before->id);
  EXPECT_EQ(after->layers, before->layers);
  EXPECT_EQ(after->size, before->size);
  EXPECT_EQ(after->repo_digests, before->repo_digests);
}

TEST_F(ImageStoreTest, ImportingAgainMergesNamesAndUnpacksNothing) {
  const TestImage image{{"app:1"}, {BaseLayer()}};
  const ImagePtr first = ImportOne(DockerArchive({image}));
  struct stat before;
  ASSERT_EQ(stat(LayerFile(first, 0, "bin/app").c_str(), &before), 0);
  const ImagePtr second = ImportOne(DockerArchive({{{"app:2"}, {BaseLayer()}}}));
  EXPECT_EQ(second->id, first->id);
  EXPECT_THAT(second->repo_tags, ElementsAre("docker.io/library/app:1", "docker.io/library/app:2"));
  struct stat after;
  ASSERT_EQ(stat(LayerFile(first, 0, "bin/app").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_THAT(images_->List(), SizeIs(1));
}

TEST_F(ImageStoreTest, ATagMovesAndTheOlderImageStays) {
  const ImagePtr older = ImportOne(DockerArchive({{{"app:1"}, {BaseLayer(), TopLayer("1")}}}));
  const ImagePtr newer = ImportOne(DockerArchive({{{"app:1"}, {BaseLayer(), TopLayer("2")}}}));
  OpenStore();
  EXPECT_EQ(images_->Find("app:1")->id, newer->id);
  ASSERT_NE(images_->Find(older->id.str()), nullptr);
  EXPECT_THAT(images_->Find(older->id.str())->repo_tags, IsEmpty());
  EXPECT_THAT(Names("layers"), SizeIs(3));
}

TEST_F(ImageStoreTest, SharedLayersGoWithTheLastImage) {
  const ImagePtr a = ImportOne(DockerArchive({{{"a:1"}, {BaseLayer(), TopLayer("1")}}}));
  ImportOne(DockerArchive({{{"b:1"}, {BaseLayer(), TopLayer("2")}}}));
  const uint64_t both = images_->Usage()->bytes;
  EXPECT_GT(both, 0u);
  EXPECT_TRUE(images_->Remove("a:1").ok());
  EXPECT_EQ(images_->Find(a->id.str()), nullptr);
  EXPECT_THAT(Names("layers"), SizeIs(2));
  EXPECT_TRUE(images_->Remove("a:1").ok()) << "absent is success";
  EXPECT_TRUE(images_->Remove("b:1").ok());
  EXPECT_THAT(Names("layers"), IsEmpty());
  EXPECT_EQ(Rows("image") + Rows("layer"), 0u);
  ExpectNothingLeft(0);
  EXPECT_EQ(images_->Usage()->bytes, 0u);
  EXPECT_FALSE(images_->Usage()->mountpoint.empty());
}

TEST_F(ImageStoreTest, RemovingByOneTagRemovesTheWholeImage) {
  ImportOne(DockerArchive({{{"a:1", "a:2"}, {BaseLayer()}}}));
  EXPECT_TRUE(images_->Remove("a:2").ok());
  EXPECT_EQ(images_->Find("a:1"), nullptr);
}

TEST_F(ImageStoreTest, UsageIsWhatTheDiskSays) {
  ImportOne(DockerArchive({{{"a:1"}, {BaseLayer(), TopLayer(std::string(1 << 20, 'x'))}}}));
  const absl::StatusOr<os::TreeUsage> disk = os::MeasureTree(AT_FDCWD, dir_ / "data/layers");
  const absl::StatusOr<FsUsage> usage = images_->Usage();
  EXPECT_EQ(usage->inodes + 1, disk->inodes) << "all but layers/ itself";
  EXPECT_NEAR(static_cast<double>(usage->bytes), static_cast<double>(disk->bytes),
              0.01 * static_cast<double>(disk->bytes) + 4096);
}

TEST_F(ImageStoreTest, HeldLayersOutliveTheirImageUntilTheyAreCollected) {
  const ImagePtr image = ImportOne(DockerArchive({{{"a:1"}, {BaseLayer(), TopLayer("1")}}}));
  ASSERT_TRUE(images_->Hold("container", image->layers).ok());
  EXPECT_TRUE(images_->Remove("a:1").ok());
  EXPECT_EQ(images_->Find("a:1"), nullptr);
  EXPECT_EQ(access(LayerFile(image, 1, "top").c_str(), F_OK), 0);
  // A restart: nothing is collected before the holders are known again.
  OpenStore();
  ASSERT_TRUE(images_->Hold("container", image->layers).ok());
  EXPECT_TRUE(images_->CollectGarbage().ok());
  EXPECT_EQ(access(LayerFile(image, 1, "top").c_str(), F_OK), 0);
  images_->Unhold("container");
  images_.reset();  // joins the collection that Unhold began
  EXPECT_THAT(Names("layers"), IsEmpty());
  ExpectNothingLeft(0);
  EXPECT_EQ(images_->Hold("late", image->layers).code(), absl::StatusCode::kNotFound);
}

TEST_F(ImageStoreTest, AnImageWithoutLayersHasAnEmptyLower) {
  const ImagePtr image = ImportOne(DockerArchive({{{"scratch:1"}, {}}}));
  ASSERT_NE(image, nullptr);
  EXPECT_GT(image->size, 0u);
  ASSERT_THAT(images_->LowerPaths(image->layers), SizeIs(1));
  struct stat st;
  ASSERT_EQ(stat((dir_ / "data/" + images_->LowerPaths(image->layers)[0]).c_str(), &st), 0);
  EXPECT_TRUE(S_ISDIR(st.st_mode));
  EXPECT_EQ(st.st_mode & 07777, 0755u);
  // The same layer, brought by an archive.
  const ImagePtr other = ImportOne(DockerArchive({{{"empty:1"}, {MakeTar({})}}}));
  ASSERT_NE(other, nullptr);
  EXPECT_EQ(other->layers, image->layers);
}

TEST_F(ImageStoreTest, ALayerThatOccursTwiceIsOneLower) {
  const ImagePtr image =
      ImportOne(DockerArchive({{{"a:1"}, {BaseLayer(), TopLayer("1"), BaseLayer()}}}));
  ASSERT_NE(image, nullptr);
  EXPECT_THAT(image->layers, SizeIs(3));
  EXPECT_THAT(images_->LowerPaths(image->layers),
              ElementsAre("layers/" + image->layers[2].hex(), "layers/" + image->layers[1].hex()));
}

TEST_F(ImageStoreTest, OpaqueDirectoriesAreMarkedAndAnOpaqueRootEndsTheLowers) {
  const std::string opaque =
      MakeTar({Dir("etc"), File("etc/.wh..wh..opq", ""), File("etc/new", "n")});
  const std::string root = MakeTar({File(".wh..wh..opq", ""), File("only", "o")});
  const ImagePtr image = ImportOne(DockerArchive({{{"a:1"}, {BaseLayer(), opaque}}}));
  ASSERT_NE(image, nullptr);
  char value[2];
  EXPECT_EQ(getxattr(LayerFile(image, 1, "etc").c_str(), "trusted.overlay.opaque", value, 2), 1);
  EXPECT_EQ(value[0], 'y');
  EXPECT_THAT(images_->LowerPaths(image->layers), SizeIs(2));
  const ImagePtr bare = ImportOne(DockerArchive({{{"b:1"}, {BaseLayer(), root, TopLayer("1")}}}));
  ASSERT_NE(bare, nullptr);
  OpenStore();
  EXPECT_THAT(images_->LowerPaths(bare->layers),
              ElementsAre("layers/" + bare->layers[2].hex(), "layers/" + bare->layers[1].hex()));
}

TEST_F(ImageStoreTest, BrokenArchivesAreInvalidAndLeaveNothing) {
  const TestImage image{{"app:1"}, {BaseLayer(), TopLayer("x")}};
  for (const Break how : {Break::kConfigBytes, Break::kDiffId, Break::kLayerBytes,
                          Break::kMissingLayer, Break::kManifestBytes, Break::kTruncated}) {
    const absl::Status status = Import(DockerArchive({image}, how)).status();
    // A docker-archive names its config by file name only: other bytes are another image.
    if (how == Break::kConfigBytes && status.ok()) {
      EXPECT_TRUE(images_->Remove("app:1").ok());
      continue;
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument)
        << "docker, " << static_cast<int>(how) << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("test.tar"));
  }
  for (const Break how :
       {Break::kConfigBytes, Break::kDiffId, Break::kLayerBytes, Break::kLayerSize,
        Break::kMissingLayer, Break::kManifestBytes, Break::kTruncated}) {
    const absl::Status status = Import(OciLayout({image}, how)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument)
        << "oci, " << static_cast<int>(how) << ": " << status;
  }
  for (const std::string& bytes : {std::string(), std::string("no tar"), std::string(4096, '\0')}) {
    EXPECT_EQ(Import(bytes).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_THAT(images_->List(), IsEmpty());
  EXPECT_EQ(Rows("image") + Rows("layer"), 0u);
  ExpectNothingLeft(0);
}

TEST_F(ImageStoreTest, ABadNameInTheArchiveIsRefused) {
  EXPECT_EQ(Import(DockerArchive({{{"Bad Name:x"}, {BaseLayer()}}})).status().code(),
            absl::StatusCode::kInvalidArgument);
  ExpectNothingLeft(0);
}

TEST_F(ImageStoreTest, AWorkerThatCannotRunIsAnErrorThatNamesIt) {
  images_.reset();
  ImageStore::Options options = Options();
  for (const std::string path : {"/nonexistent/berth-image", "/bin/false", "/bin/true"}) {
    options.worker_path = path;
    images_ = *ImageStore::Open(options, records_.get());
    const absl::Status status = Import(DockerArchive({{{"a:1"}, {BaseLayer()}}})).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << path << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("image worker"));
  }
  ExpectNothingLeft(0);
}

TEST_F(ImageStoreTest, ImportsOfTheSameArchiveAtOnceShareTheLayers) {
  const std::string archive = OciLayout(
      {{{"app:1"},
        {BaseLayer(), TopLayer("1"), TopLayer("2"), TopLayer(std::string(1 << 20, 'x'))}}});
  std::vector<absl::Status> results(8);
  std::vector<std::thread> threads;
  threads.reserve(results.size());
  for (absl::Status& result : results) {
    threads.emplace_back([&] { result = Import(archive).status(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) EXPECT_TRUE(result.ok()) << result;
  EXPECT_THAT(images_->List(), SizeIs(1));
  ExpectNothingLeft(4);
}

TEST_F(ImageStoreTest, ImportsAndRemovalsAtOnceEndConsistent) {
  const std::string one = DockerArchive({{{"one:1"}, {BaseLayer(), TopLayer("1")}}});
  const std::string two = DockerArchive({{{"two:1"}, {TopLayer("2"), BaseLayer()}}});
  std::vector<std::thread> threads;
  for (const std::string* archive : {&one, &two}) {
    threads.emplace_back([&, archive] {
      for (int i = 0; i < 6; ++i) {
        const absl::Status status = Import(*archive).status();
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_TRUE(images_->Remove(archive == &one ? "one:1" : "two:1").ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(images_->List(), IsEmpty());
  EXPECT_EQ(Rows("image") + Rows("layer"), 0u);
  ExpectNothingLeft(0);
}

TEST_F(ImageStoreTest, AnErrorAtAnyStepOfAnImportLeavesItWholeOrAbsent) {
  const std::string archive = DockerArchive({{{"a:1"}, {BaseLayer(), TopLayer("1")}}});
  for (const std::string point : {"image_after_staging_dir", "image_before_rename",
                                  "image_after_rename", "image_before_commit"}) {
    ASSERT_TRUE(failpoint::Configure(point + "=1*error").ok());
    EXPECT_FALSE(Import(archive).ok()) << point;
    EXPECT_THAT(images_->List(), IsEmpty()) << point;
    EXPECT_EQ(Rows("image") + Rows("layer"), 0u) << point;
    EXPECT_THAT(Names("layers"), IsEmpty()) << point;
    EXPECT_THAT(Names("staging"), IsEmpty()) << point;
    EXPECT_TRUE(Import(archive).ok()) << point;
    EXPECT_TRUE(images_->Remove("a:1").ok());
  }
  ASSERT_TRUE(Import(archive).ok());
  ASSERT_TRUE(failpoint::Configure("image_remove_before_commit=1*error").ok());
  EXPECT_FALSE(images_->Remove("a:1").ok());
  EXPECT_NE(images_->Find("a:1"), nullptr);
  EXPECT_TRUE(images_->Hold("c", images_->Find("a:1")->layers).ok());
}

}  // namespace
}  // namespace berth::image
