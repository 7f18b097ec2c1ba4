// kill -9 at each failpoint, power loss by hand, and what the next start makes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/os/test_dir.h"
#include "image/image_store.h"
#include "tests/fixtures/leak.h"
#include "tests/images/archive_writer.h"

namespace berth::image {
namespace {

using test::DockerArchive;
using test::File;
using test::MakeTar;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ImageCrashTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(mkdir((dir_ / "data").c_str(), 0700), 0); }

  std::string Archive() {
    return DockerArchive({{{"a:1"}, {MakeTar({File("one", "1")}), MakeTar({File("two", "2")})}}});
  }
  std::string Database() { return dir_ / "data/berth.db"; }
  ImageStore::Options Options() {
    ImageStore::Options options;
    options.data_dir = dir_ / "data";
    options.worker_path = BERTH_IMAGE_PATH;
    return options;
  }
  // Records and images as a daemon has them.
  struct Opened {
    std::unique_ptr<store::Store> records;
    std::unique_ptr<ImageStore> images;
  };
  Opened OpenAll() {
    Opened opened;
    opened.records = *store::Store::Open(Database());
    opened.images = *ImageStore::Open(Options(), opened.records.get());
    return opened;
  }
  absl::Status ImportInto(ImageStore* images) {
    return images->Import(*os::MemFdWith("archive", Archive()), {"a.tar", "", false}).status();
  }
  // Runs `body` in a child that the failpoint kills.
  template <typename Body>
  void KillAt(const std::string& point, Body body) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      if (!failpoint::Configure(point + "=kill").ok()) _exit(3);
      Opened opened = OpenAll();
      body(opened.images.get());
      alarm(30);  // some points are in the background work
      pause();
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        << point << " was not reached: " << status;
  }
  std::vector<std::string> Names(const std::string& directory) {
    return *os::ListDir(AT_FDCWD, dir_ / "data/" + directory);
  }
  void ExpectClean(const Opened& opened, size_t images, const std::string& point) {
    EXPECT_THAT(opened.images->List(), SizeIs(images)) << point;
    EXPECT_TRUE(opened.images->CollectGarbage().ok());
    EXPECT_THAT(Names("layers"), SizeIs(2 * images)) << point;
    EXPECT_THAT(*opened.records->Load("layer"), SizeIs(2 * images)) << point;
    EXPECT_THAT(Names("staging"), IsEmpty()) << point;
  }

  os::TestDir dir_;
};

TEST_F(ImageCrashTest, AKillAtAnyStepOfAnImportLeavesTheImageWholeOrAbsent) {
  for (const std::string point :
       {"image_after_staging_dir", "image_worker_unpacking", "image_before_rename",
        "image_after_rename", "image_before_commit", "image_after_commit"}) {
    KillAt(point, [&](ImageStore* images) { (void)ImportInto(images); });
    Opened opened = OpenAll();
    const size_t expected = point == "image_after_commit" ? 1 : 0;
    ExpectClean(opened, expected, point);
    const absl::Status again = ImportInto(opened.images.get());
    EXPECT_TRUE(again.ok()) << point << ": " << again;
    ExpectClean(opened, 1, point);
    EXPECT_TRUE(opened.images->Remove("a:1").ok());
  }
}

TEST_F(ImageCrashTest, AKillAtAnyStepOfARemovalLeavesTheImageWholeOrAbsent) {
  for (const std::string point : {"image_remove_before_commit", "image_remove_after_commit",
                                  "image_trash_after_rename", "image_trash_before_delete"}) {
    ASSERT_TRUE(ImportInto(OpenAll().images.get()).ok());
    KillAt(point, [&](ImageStore* images) { (void)images->Remove("a:1"); });
    Opened opened = OpenAll();
    const size_t expected = point == "image_remove_before_commit" ? 1 : 0;
    ExpectClean(opened, expected, point);
    EXPECT_TRUE(opened.images->Remove("a:1").ok());
  }
}

TEST_F(ImageCrashTest, LeftoversOfEveryKindGoAtTheNextStart) {
  ASSERT_TRUE(ImportInto(OpenAll().images.get()).ok());
  const std::string data = dir_ / "data/";
  ASSERT_TRUE(os::MakeDirs(data + "staging/half/0/bin", 0700).ok());
  ASSERT_TRUE(os::MakeDirs(data + "layers/" + std::string(64, 'a') + "/bin", 0700).ok());
  ASSERT_TRUE(os::MakeDirs(data + "layers/no-layer", 0700).ok());
  ASSERT_TRUE(os::MakeDirs(data + "trash/old/bin", 0700).ok());
  Opened opened = OpenAll();
  ExpectClean(opened, 1, "by hand");
  EXPECT_TRUE(testing::Eventually([&] { return Names("trash").empty(); }, absl::Seconds(20)));
}

TEST_F(ImageCrashTest, AnImageThatLostALayerIsDroppedAndCanBeImportedAgain) {
  {
    Opened opened = OpenAll();
    ASSERT_TRUE(ImportInto(opened.images.get()).ok());
    ASSERT_TRUE(os::RemoveTree(AT_FDCWD, dir_ / "data/layers/" + Names("layers")[0]).ok());
  }
  Opened opened = OpenAll();
  ExpectClean(opened, 0, "lost layer");
  EXPECT_TRUE(ImportInto(opened.images.get()).ok());
  ExpectClean(opened, 1, "imported again");
}

TEST_F(ImageCrashTest, ARecordThatCannotBeUnderstoodIsPutAside) {
  {
    Opened opened = OpenAll();
    ASSERT_TRUE(ImportInto(opened.images.get()).ok());
    store::Record future = (*opened.records->Load("image"))[0];
    future.version = 99;
    store::Batch batch;
    batch.Put(future);
    ASSERT_TRUE(opened.records->Commit(batch, store::Sync::kFull).ok());
  }
  Opened opened = OpenAll();
  EXPECT_EQ(*opened.records->CountQuarantined(), 1u);
  ExpectClean(opened, 0, "quarantined");
}

TEST_F(ImageCrashTest, EveryFailpointOfThisFolderIsKilledHere) {
  for (const std::string& name : failpoint::List()) {
    if (name.rfind("image_", 0) != 0) continue;
    EXPECT_THAT(name, AnyOf("image_after_staging_dir", "image_worker_unpacking",
                            "image_before_rename", "image_after_rename", "image_before_commit",
                            "image_after_commit", "image_remove_before_commit",
                            "image_remove_after_commit", "image_trash_after_rename",
                            "image_trash_before_delete", "image_directory_before_record"))
        << "add it to a test above";
  }
}

}  // namespace
}  // namespace berth::image
