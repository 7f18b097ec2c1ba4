// The archive that quickstart and the end-to-end tests start from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os/spawn.h"
#include "base/os/test_dir.h"
#include "image/image_store.h"
#include "image/user_lookup.h"

namespace berth::image {
namespace {

using ::testing::ElementsAre;

class BusyboxArchiveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (access("/bin/busybox", X_OK) != 0) GTEST_SKIP() << "busybox-static is not installed";
    ASSERT_EQ(mkdir((dir_ / "data").c_str(), 0700), 0);
    ASSERT_EQ(mkdir((dir_ / "import").c_str(), 0700), 0);
  }
  void Build(const std::string& output, const std::vector<std::string>& variables) {
    os::SpawnOptions spawn;
    spawn.path = "/bin/bash";
    spawn.argv = {"bash", std::string(BERTH_SOURCE_DIR) + "/tests/images/build_busybox_archive",
                  output, "busybox:test", "h.io/other:1"};
    spawn.env = variables;
    spawn.env.emplace_back("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
    absl::StatusOr<os::Child> child = os::Spawn(spawn);
    ASSERT_TRUE(child.ok()) << child.status();
    absl::StatusOr<int> status = os::WaitChild(*child, Deadline::After(absl::Minutes(1)));
    ASSERT_TRUE(status.ok()) << status.status();
    ASSERT_EQ(*status, 0);
  }

  os::TestDir dir_;
};

TEST_F(BusyboxArchiveTest, ImportsWithItsOptionsUsersAndLinkedApplets) {
  Build(dir_ / "import/busybox.tar",
        {"ENV=A=b\"c\nD=e f", "CMD=[\"sh\",\"-c\",\"echo hi\"]", "ENTRYPOINT=/bin/env --",
         "IMAGE_USER=user", "WORKDIR=/home/user"});
  std::unique_ptr<store::Store> records = store::MakeMemoryStore();
  ImageStore::Options options;
  options.data_dir = dir_ / "data";
  options.worker_path = BERTH_IMAGE_PATH;
  absl::StatusOr<std::unique_ptr<ImageStore>> images = ImageStore::Open(options, records.get());
  ASSERT_TRUE(images.ok()) << images.status();
  ASSERT_TRUE((*images)->ImportDirectory(dir_ / "import").ok());
  const ImagePtr image = (*images)->Find("busybox:test");
  ASSERT_NE(image, nullptr);
  EXPECT_EQ((*images)->Find("h.io/other:1"), image);
  EXPECT_THAT(image->config.cmd, ElementsAre("sh", "-c", "echo hi"));
  EXPECT_THAT(image->config.entrypoint, ElementsAre("/bin/env", "--"));
  ASSERT_EQ(image->config.env.size(), 3u);
  EXPECT_EQ(image->config.env[1], "A=b\"c");
  EXPECT_EQ(image->config.env[2], "D=e f");
  EXPECT_EQ(image->config.user, "user");
  EXPECT_EQ(image->config.working_dir, "/home/user");
  EXPECT_TRUE(image->pinned);

  const std::string root = dir_ / "data/" + (*images)->LowerPaths(image->layers).front();
  absl::StatusOr<ResolvedUser> user = ResolveUser({root}, image->config.user);
  ASSERT_TRUE(user.ok()) << user.status();
  EXPECT_EQ(user->uid, 1000u);
  EXPECT_THAT(user->groups, ElementsAre(100, 50000));
  struct stat sh;
  struct stat env;
  ASSERT_EQ(stat((root + "/bin/sh").c_str(), &sh), 0);
  ASSERT_EQ(stat((root + "/usr/bin/env").c_str(), &env), 0);
  EXPECT_EQ(sh.st_ino, env.st_ino);
  EXPECT_EQ(sh.st_mode & 07777, 0755u);
  ASSERT_EQ(stat((root + "/tmp").c_str(), &env), 0);
  EXPECT_EQ(env.st_mode & 07777, 01777u);
}

TEST_F(BusyboxArchiveTest, TheSameInputsGiveTheSameBytes) {
  Build(dir_ / "a.tar", {});
  Build(dir_ / "b.tar", {});
  EXPECT_EQ(*os::ReadFile(dir_ / "a.tar", 64 << 20), *os::ReadFile(dir_ / "b.tar", 64 << 20));
}

}  // namespace
}  // namespace berth::image
