// Images: import, listing, removal, and what broken archives get.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "tests/e2e/e2e.h"
#include "tests/images/archive_writer.h"

namespace berth::testing {
namespace {

class Images : public E2e {
 protected:
  void TearDown() override {
    for (const std::string& name : made_) (void)daemon().Ctl({"image", "rm", name});
    E2e::TearDown();
  }

  // A docker-archive with one layer made by `layer_script` (cwd: an empty directory; it writes
  // ../layer.tar), named `name`. `edit` may then break config.json, manifest.json or layer.tar.
  std::string MakeArchive(const std::string& name, const std::string& layer_script,
                          const std::string& edit = "true") {
    const std::string dir = absl::StrCat(daemon().dir(), "/make-", counter_++);
    const std::string script = absl::StrCat(
        "set -e; mkdir -p ", dir, "/root; cd ", dir, "/root; ", layer_script, "; cd ..; ",
        "d=$(sha256sum layer.tar | cut -d' ' -f1); ",
        R"(printf '{"architecture":"amd64","os":"linux","config":{"User":"1002","Cmd":["/bin/sh"]},)",
        R"("rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' $d > config.json; )",
        R"(printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' ')", name,
        "' > manifest.json; ", edit, "; tar -cf ../", counter_,
        ".tar config.json manifest.json layer.tar; rm -rf ", dir);
    const Output made = RunProgram({"bash", "-c", script});
    EXPECT_EQ(made.exit_code, 0) << made.err;
    made_.push_back(name);
    return absl::StrCat(daemon().dir(), "/", counter_, ".tar");
  }
  Output Import(const std::string& archive) { return daemon().Ctl({"image", "import", archive}); }
  cri::ImageStatusResponse ImageStatus(const std::string& name) {
    cri::ImageStatusRequest request;
    request.mutable_image()->set_image(name);
    cri::ImageStatusResponse response;
    const grpc::Status status =
        images_->ImageStatus(Within(absl::Seconds(20)).get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  void RemoveImage(const std::string& name) {
    cri::RemoveImageRequest request;
    request.mutable_image()->set_image(name);
    cri::RemoveImageResponse response;
    const grpc::Status status =
        images_->RemoveImage(Within(absl::Seconds(20)).get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  uint64_t ImageBytes() {
    cri::ImageFsInfoResponse response;
    EXPECT_TRUE(images_->ImageFsInfo(Within(absl::Seconds(20)).get(), {}, &response).ok());
    EXPECT_GE(response.image_filesystems_size(), 1);
    return response.image_filesystems_size() == 0
               ? 0
               : response.image_filesystems(0).used_bytes().value();
  }
  size_t LayerCount() {
    absl::StatusOr<std::vector<std::string>> layers =
        os::ListDir(AT_FDCWD, daemon().data_dir() + "/layers");
    return layers.ok() ? layers->size() : 0;
  }

 private:
  int counter_ = 0;
  std::vector<std::string> made_;
};

constexpr char kOneFile[] = "echo content > file; tar -cf ../layer.tar .";

TEST_F(Images, TheImportDirectoryIsThereBeforeTheSocketAndPinned) {
  const cri::ImageStatusResponse response = ImageStatus("busybox:test");
  EXPECT_TRUE(absl::StartsWith(response.image().id(), "sha256:"));
  EXPECT_GT(response.image().size(), 0u);
  EXPECT_TRUE(response.image().pinned());
  EXPECT_THAT(response.image().repo_tags(),
              ::testing::ElementsAre("docker.io/library/busybox:test"));
}

TEST_F(Images, ImportListStatusRemove) {
  const Output import = Import(MakeArchive("example.test/app:1", kOneFile));
  ASSERT_EQ(import.exit_code, 0) << import.err;
  const cri::Image image = ImageStatus("example.test/app:1").image();
  EXPECT_THAT(image.repo_tags(), ::testing::ElementsAre("example.test/app:1"));
  EXPECT_EQ(image.uid().value(), 1002);
  EXPECT_FALSE(image.pinned());
  EXPECT_EQ(ImageStatus(image.id()).image().id(), image.id());
  EXPECT_EQ(ImageStatus(image.id().substr(7, 12)).image().id(), image.id());
  cri::ListImagesResponse list;
  ASSERT_TRUE(images_->ListImages(Within(absl::Seconds(20)).get(), {}, &list).ok());
  EXPECT_EQ(list.images_size(), 2);
  cri::ListImagesRequest filtered;
  filtered.mutable_filter()->mutable_image()->set_image("example.test/app:1");
  ASSERT_TRUE(images_->ListImages(Within(absl::Seconds(20)).get(), filtered, &list).ok());
  EXPECT_EQ(list.images_size(), 1);
  RemoveImage("example.test/app:1");
  RemoveImage("example.test/app:1");
  EXPECT_FALSE(ImageStatus("example.test/app:1").has_image());
}

TEST_F(Images, AnOciLayoutIsVerifiedBlobByBlob) {
  const auto write = [&](const std::string& name, const std::string& bytes) {
    std::string path = absl::StrCat(daemon().dir(), "/", name);
    absl::StatusOr<os::UniqueFd> fd = os::Open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    EXPECT_TRUE(fd.ok() && os::WriteAll(fd->get(), bytes).ok());
    return path;
  };
  test::TestImage image;
  image.names = {"example.test/oci:1"};
  image.layers = {test::MakeTar({test::File("oci", "layout")})};
  const Output import = Import(write("oci.tar", test::OciLayout({image})));
  ASSERT_EQ(import.exit_code, 0) << import.err;
  const cri::Image found = ImageStatus("example.test/oci:1").image();
  EXPECT_EQ(found.id(), test::ImageId(image));
  ASSERT_EQ(found.repo_digests_size(), 1);
  EXPECT_EQ(ImageStatus(found.repo_digests(0)).image().id(), found.id());
  RemoveImage("example.test/oci:1");
  for (const test::Break how : {test::Break::kLayerBytes, test::Break::kConfigBytes,
                                test::Break::kManifestBytes, test::Break::kDiffId}) {
    const Output refused = Import(write("broken.tar", test::OciLayout({image}, how)));
    EXPECT_NE(refused.exit_code, 0);
    EXPECT_THAT(refused.err, HasSubstr("sha256:")) << static_cast<int>(how);
    EXPECT_FALSE(ImageStatus("example.test/oci:1").has_image());
  }
}

TEST_F(Images, AnAbsentImageIsOkWithoutImage) {
  EXPECT_FALSE(ImageStatus("example.test/none:1").has_image());
}

TEST_F(Images, ImagesShareLayersByDiffIdAndUsageRisesAndFalls) {
  const size_t layers = LayerCount();
  const uint64_t before = ImageBytes();
  const std::string big =
      "mkdir -p d; head -c 5000000 /dev/urandom > d/blob; tar -cf ../layer.tar .";
  const std::string first = MakeArchive("example.test/one:1", big);
  ASSERT_EQ(Import(first).exit_code, 0);
  EXPECT_EQ(LayerCount(), layers + 1);
  EXPECT_GE(ImageBytes(), before + 5000000);
  // The same layer under another config is another image, and nothing more on disk.
  const std::string second = absl::StrCat(daemon().dir(), "/second.tar");
  const Output made = RunProgram(
      {"bash", "-c",
       absl::StrCat("set -e; d=$(mktemp -d ", daemon().dir(), "/x.XXXX); tar -xf ", first,
                    " -C $d; cd $d; sed -i 's/1002/1003/' config.json; "
                    "sed -i 's/one:1/two:1/' manifest.json; tar -cf ",
                    second, " *; rm -rf $d")});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  ASSERT_EQ(Import(second).exit_code, 0);
  EXPECT_EQ(LayerCount(), layers + 1);
  EXPECT_NE(ImageStatus("example.test/one:1").image().id(),
            ImageStatus("example.test/two:1").image().id());
  RemoveImage("example.test/one:1");
  EXPECT_EQ(LayerCount(), layers + 1);
  RemoveImage("example.test/two:1");
  EXPECT_TRUE(Eventually([&] { return LayerCount() == layers && ImageBytes() <= before; },
                         absl::Seconds(20)));
}

TEST_F(Images, RemovalLeavesRunningContainersTheirFiles) {
  ASSERT_EQ(Import(BusyboxArchive("example.test/run:1")).exit_code, 0);
  cri::ContainerConfig config = ContainerConfig("sleep 1000");
  config.mutable_image()->set_image("example.test/run:1");
  const auto [pod, id] = RunContainer(config);
  RemoveImage("example.test/run:1");
  EXPECT_EQ(Shell(id, "cat /etc/passwd | grep -c root"), "1\n");
  EXPECT_THAT(TryCreate(
                  pod,
                  [&] {
                    cri::ContainerConfig next = ContainerConfig("true", "next");
                    next.mutable_image()->set_image("example.test/run:1");
                    return next;
                  }(),
                  PodConfig(), nullptr),
              StatusIs(grpc::StatusCode::NOT_FOUND, HasSubstr("example.test/run:1")));
}

TEST_F(Images, SetuidBitsOwnersWhiteoutsAndLinksSurviveUnpacking) {
  const std::string archive = MakeArchive(
      "example.test/bits:1",
      "echo a > plain; cp plain suid; chown 1000:1000 plain; chmod 4755 suid; ln plain hard; "
      "ln -s plain soft; mkdir -p gone; touch gone/.wh.old; tar -cf ../layer.tar .");
  ASSERT_EQ(Import(archive).exit_code, 0);
  absl::StatusOr<std::vector<std::string>> layers =
      os::ListDir(AT_FDCWD, daemon().data_dir() + "/layers");
  ASSERT_TRUE(layers.ok());
  bool found = false;
  for (const std::string& layer : *layers) {
    const std::string root = absl::StrCat(daemon().data_dir(), "/layers/", layer);
    struct stat st;
    if (stat((root + "/suid").c_str(), &st) != 0) continue;
    found = true;
    EXPECT_EQ(st.st_mode & 07777, 04755u);
    ASSERT_EQ(stat((root + "/plain").c_str(), &st), 0);
    EXPECT_EQ(st.st_uid, 1000u);
    EXPECT_EQ(st.st_nlink, 2u);
    ASSERT_EQ(lstat((root + "/gone/old").c_str(), &st), 0);
    EXPECT_TRUE(S_ISCHR(st.st_mode) && st.st_rdev == 0) << "a whiteout";
    ASSERT_EQ(lstat((root + "/soft").c_str(), &st), 0);
    EXPECT_TRUE(S_ISLNK(st.st_mode));
  }
  EXPECT_TRUE(found);
}

TEST_F(Images, BrokenArchivesAreRefusedWithTheCauseAndLeaveNothing) {
  struct Case {
    std::string what;
    std::string layer;
    std::string edit;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"wrong diffID", kOneFile, "sed -i 's/sha256:..../sha256:0000/' config.json", "0000"},
      {"truncated layer", "head -c 100000 /dev/urandom > f; tar -cf ../layer.tar .",
       "truncate -s 5000 layer.tar", "layer.tar"},
      {"a name that climbs", "touch x; tar -P --transform 's,.*,../../climb,' -cf ../layer.tar x",
       "true", "climb"},
      {"no manifest", kOneFile, "echo '{}' > manifest.json", "manifest.json"},
      {"config that is no JSON", kOneFile, "echo nonsense > config.json", "config"},
      {"a layer that is not there", kOneFile,
       "sed -i 's/\"layer.tar\"/\"other.tar\"/' manifest.json", "other.tar"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const size_t layers = LayerCount();
    const Output import = Import(MakeArchive("example.test/broken:1", c.layer, c.edit));
    EXPECT_NE(import.exit_code, 0);
    EXPECT_THAT(import.err, HasSubstr(c.message));
    EXPECT_FALSE(ImageStatus("example.test/broken:1").has_image());
    EXPECT_EQ(LayerCount(), layers);
  }
  const std::string text = daemon().dir() + "/not-a.tar";
  absl::StatusOr<os::UniqueFd> fd = os::Open(text, O_WRONLY | O_CREAT, 0600);
  ASSERT_TRUE(fd.ok() && os::WriteAll(fd->get(), std::string(2000, 'x')).ok());
  EXPECT_NE(Import(text).exit_code, 0);
}

TEST_F(Images, ALinkOutOfTheLayerDoesNotLeadAnEntryOutside) {
  const std::string canary = daemon().dir() + "/canary";
  ASSERT_TRUE(os::MakeDirs(canary, 0755).ok());
  const std::string archive = MakeArchive(
      "example.test/link:1", absl::StrCat("ln -s ", canary,
                                          " out; tar -cf ../layer.tar out; rm out; mkdir out; "
                                          "echo pwned > out/file; tar -rf ../layer.tar out/file"));
  (void)Import(archive);  // refused or kept inside: both are right
  EXPECT_NE(access((canary + "/file").c_str(), F_OK), 0);
}

TEST_F(Images, ABrokenFileInTheImportDirectoryDoesNotKeepTheSocketShut) {
  runtime_.reset();
  images_.reset();
  EXPECT_EQ(daemon().Terminate(), 0);
  const std::string broken = daemon().import_dir() + "/a-broken.tar";
  absl::StatusOr<os::UniqueFd> fd = os::Open(broken, O_WRONLY | O_CREAT, 0600);
  ASSERT_TRUE(fd.ok() && os::WriteAll(fd->get(), "not a tar").ok());
  daemon().Start();
  Reconnect();
  EXPECT_TRUE(ImageStatus("busybox:test").has_image());
  EXPECT_THAT(daemon().log(), HasSubstr("a-broken.tar"));
  unlink(broken.c_str());
  runtime_.reset();
  images_.reset();
  EXPECT_EQ(daemon().Terminate(), 0);
  daemon().Start();  // a file that is gone is forgotten at the next start
  Reconnect();
}

TEST_F(Images, ARecordedFileOfTheImportDirectoryIsNotReadAgain) {
  // The content is destroyed under an unchanged name, size, mtime and inode: an import would fail.
  const std::string file = daemon().import_dir() + "/busybox.tar";
  const std::string copy = daemon().dir() + "/copy.tar";
  ASSERT_EQ(RunProgram({"cp", "-p", file, copy}).exit_code, 0);
  ASSERT_EQ(rename(copy.c_str(), file.c_str()), 0);  // an inode of our own
  runtime_.reset();
  images_.reset();
  EXPECT_EQ(daemon().Terminate(), 0);
  daemon().Start();  // reads it once: the inode is new
  EXPECT_EQ(daemon().Terminate(), 0);
  struct stat st;
  ASSERT_EQ(stat(file.c_str(), &st), 0);
  ASSERT_EQ(RunProgram({"dd", "if=/dev/zero", "of=" + file, "bs=1M", "count=1", "conv=notrunc"})
                .exit_code,
            0);
  const timespec times[2] = {st.st_atim, st.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  const size_t mark = daemon().log().size();
  daemon().Start();
  Reconnect();
  EXPECT_TRUE(ImageStatus("busybox:test").has_image());
  EXPECT_THAT(daemon().log().substr(mark), ::testing::Not(HasSubstr("busybox.tar:")))
      << "nothing complained of the destroyed file";
}

}  // namespace
}  // namespace berth::testing
