// The registry fixture against itself: what tests push is there, as they count and break it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/test_dir.h"
#include "tests/fixtures/daemon.h"
#include "tests/fixtures/registry.h"

namespace berth::testing {
namespace {

using ::testing::HasSubstr;

test::TestImage SmallImage() {
  test::TestImage image;
  image.layers = {test::MakeTar({test::File("one", "1")}), test::MakeTar({test::File("two", "2")})};
  return image;
}

std::string Get(const Registry& registry, const std::string& path,
                const std::vector<std::string>& more = {}) {
  std::vector<std::string> argv = {"curl", "-s", "-i", "--noproxy", "*", registry.url() + path};
  argv.insert(argv.end(), more.begin(), more.end());
  return RunProgram(argv, absl::Seconds(20)).out;
}

TEST(RegistryTest, ServesWhatWasPushedInEveryForm) {
  os::TestDir dir;
  Registry registry({dir / "registry"});
  using Form = Registry::Form;
  for (const Form form :
       {Form::kOciManifest, Form::kOciIndex, Form::kDockerManifest, Form::kDockerList}) {
    const std::string repository = absl::StrCat("team/app-", static_cast<int>(form));
    const Registry::Pushed pushed =
        registry.Push(repository + ":1", SmallImage(), form, Registry::Packing::kZstd);
    EXPECT_EQ(pushed.id, test::ImageId(SmallImage()));
    // Without the types by name it serves its own first format.
    EXPECT_THAT(Get(registry, absl::StrCat("/v2/", repository, "/manifests/1"),
                    {"-H", "Accept: application/vnd.oci.image.manifest.v1+json", "-H",
                     "Accept: application/vnd.oci.image.index.v1+json", "-H",
                     "Accept: application/vnd.docker.distribution.manifest.v2+json", "-H",
                     "Accept: application/vnd.docker.distribution.manifest.list.v2+json"}),
                HasSubstr(pushed.digest));
    const std::string blob = absl::StrCat("/v2/", repository, "/blobs/", pushed.layers[0]);
    EXPECT_THAT(Get(registry, blob), HasSubstr("200 OK"));
    EXPECT_EQ(registry.CountRequests(absl::StrCat("GET ", blob, " 200")), 1u);
  }
}

TEST(RegistryTest, AsksForItsPasswordOverTls) {
  os::TestDir dir;
  Registry registry({dir / "registry", true, true});
  registry.Push("app:1", SmallImage());
  EXPECT_THAT(Get(registry, "/v2/", {"--cacert", registry.CaFile()}), HasSubstr("401"));
  EXPECT_THAT(Get(registry, "/v2/", {"--cacert", registry.CaFile(), "-u", "berth:secret"}),
              HasSubstr("200"));
}

}  // namespace
}  // namespace berth::testing
