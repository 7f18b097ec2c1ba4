// A data directory that an older release left: this one opens it, believes nothing of the old boot,
// and removes it all on request.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "tests/e2e/e2e.h"

namespace berth::testing {
namespace {

class Upgrade : public ::testing::TestWithParam<std::string> {};

TEST_P(Upgrade, TheStateDirectoryOfARelease) {
  Daemon::Options options;
  options.with_busybox = false;
  Daemon daemon(options);
  const Output unpacked = RunProgram(
      {"tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-I", "zstd", "-C", daemon.dir(),
       "-xf", SourcePath(absl::StrCat("tests/fixtures/state-", GetParam(), ".tar.zst"))});
  ASSERT_EQ(unpacked.exit_code, 0) << unpacked.err;
  daemon.Start();
  ASSERT_TRUE(daemon.running());
  auto images = daemon.images();
  auto runtime = daemon.runtime();

  cri::ImageStatusRequest image;
  image.mutable_image()->set_image("fixture.test/image:1");
  cri::ImageStatusResponse found;
  ASSERT_TRUE(images->ImageStatus(Within(absl::Seconds(10)).get(), image, &found).ok());
  EXPECT_TRUE(found.has_image());

  cri::ListPodSandboxResponse pods;
  ASSERT_TRUE(runtime->ListPodSandbox(Within(absl::Seconds(10)).get(), {}, &pods).ok());
  ASSERT_EQ(pods.items_size(), 1);
  EXPECT_EQ(pods.items(0).state(), cri::SANDBOX_NOTREADY) << "that boot is over";
  cri::ListContainersResponse containers;
  ASSERT_TRUE(runtime->ListContainers(Within(absl::Seconds(10)).get(), {}, &containers).ok());
  ASSERT_EQ(containers.containers_size(), 1);
  EXPECT_EQ(containers.containers(0).state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(containers.containers(0).image_id(), found.image().id());

  // The layers came through with what tar could carry: the opaque mark is on disk.
  int opaque = 0;
  absl::StatusOr<std::vector<std::string>> layers =
      os::ListDir(AT_FDCWD, daemon.data_dir() + "/layers");
  ASSERT_TRUE(layers.ok());
  for (const std::string& layer : *layers) {
    char value[2] = {};
    const std::string path = absl::StrCat(daemon.data_dir(), "/layers/", layer, "/hide");
    if (getxattr(path.c_str(), "trusted.overlay.opaque", value, 1) == 1) opaque += value[0] == 'y';
  }
  EXPECT_EQ(opaque, 1);

  cri::RemovePodSandboxRequest remove;
  remove.set_pod_sandbox_id(pods.items(0).id());
  cri::RemovePodSandboxResponse removed;
  EXPECT_TRUE(runtime->RemovePodSandbox(Within(absl::Seconds(30)).get(), remove, &removed).ok());
  cri::RemoveImageRequest remove_image;
  *remove_image.mutable_image() = image.image();
  cri::RemoveImageResponse image_removed;
  EXPECT_TRUE(
      images->RemoveImage(Within(absl::Seconds(30)).get(), remove_image, &image_removed).ok());
  EXPECT_TRUE(Eventually(
      [&] {
        absl::StatusOr<std::vector<std::string>> left =
            os::ListDir(AT_FDCWD, daemon.data_dir() + "/layers");
        return left.ok() && left->empty();
      },
      absl::Seconds(20)));
  runtime.reset();
  images.reset();
}

INSTANTIATE_TEST_SUITE_P(Releases, Upgrade, ::testing::Values("0.1.0"),
                         [](const auto& info) { return absl::StrCat("From_", info.index); });

}  // namespace
}  // namespace berth::testing
