// What the import directory does at a start.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/os/test_dir.h"
#include "image/image_store.h"
#include "tests/images/archive_writer.h"

namespace berth::image {
namespace {

using test::Break;
using test::DockerArchive;
using test::File;
using test::MakeTar;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ImportDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(mkdir((dir_ / "data").c_str(), 0700), 0);
    ASSERT_EQ(mkdir((dir_ / "import").c_str(), 0700), 0);
    Start();
  }
  void TearDown() override { EXPECT_TRUE(failpoint::Configure("").ok()); }

  // A new run of the daemon.
  void Start(const std::string& worker = BERTH_IMAGE_PATH) {
    images_.reset();
    ImageStore::Options options;
    options.data_dir = dir_ / "data";
    options.worker_path = worker;
    images_ = *ImageStore::Open(options, records_.get());
  }
  // A run that cannot read an archive: what is there afterwards was known.
  void StartWithoutWorker() { Start("/nonexistent"); }
  absl::Status ImportAll() { return images_->ImportDirectory(dir_ / "import"); }

  std::string ArchiveOf(const std::string& name, const std::string& text,
                        Break how = Break::kNothing) {
    return DockerArchive({{{name}, {MakeTar({File("file", text)})}}}, how);
  }
  void Put(const std::string& file, const std::string& bytes) {
    absl::StatusOr<os::UniqueFd> dir = os::Open(dir_ / "import", O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(dir.ok());
    ASSERT_TRUE(
        os::WriteFileAtomic(dir->get(), file, bytes, 0600, os::Durability::kProcessCrash).ok());
  }

  os::TestDir dir_;
  std::unique_ptr<store::Store> records_ = store::MakeMemoryStore();
  std::unique_ptr<ImageStore> images_;
};

TEST_F(ImportDirectoryTest, ImportsEveryTarPinnedAndInOrder) {
  Put("a.tar", ArchiveOf("a:1", "a"));
  Put("b.tar", ArchiveOf("a:1", "b"));
  Put("notes.txt", "no archive");
  Put(".hidden.tar", ArchiveOf("hidden:1", "h"));
  EXPECT_TRUE(ImportAll().ok());
  EXPECT_THAT(images_->List(), SizeIs(2));
  ASSERT_NE(images_->Find("a:1"), nullptr);
  EXPECT_EQ(images_->Find("a:1")->id.str(),
            test::ImageId({{"a:1"}, {MakeTar({File("file", "b")})}}));
  EXPECT_TRUE(images_->Find("a:1")->pinned);
  EXPECT_EQ(images_->Find("hidden:1"), nullptr);
}

TEST_F(ImportDirectoryTest, AKnownFileIsNotReadAgain) {
  Put("a.tar", ArchiveOf("a:1", "a"));
  ASSERT_TRUE(ImportAll().ok());
  StartWithoutWorker();
  EXPECT_TRUE(ImportAll().ok());
  EXPECT_THAT(*records_->Load("import"), SizeIs(1));
  EXPECT_NE(images_->Find("a:1"), nullptr);
}

TEST_F(ImportDirectoryTest, AChangedFileIsReadAgain) {
  Put("a.tar", ArchiveOf("a:1", "a"));
  ASSERT_TRUE(ImportAll().ok());
  Put("a.tar", ArchiveOf("a:2", "b"));
  Start();
  EXPECT_TRUE(ImportAll().ok());
  EXPECT_NE(images_->Find("a:1"), nullptr) << "what came first stays";
  EXPECT_NE(images_->Find("a:2"), nullptr);
}

TEST_F(ImportDirectoryTest, AFileWhoseImageWasRemovedIsReadAgain) {
  Put("a.tar", ArchiveOf("a:1", "a"));
  ASSERT_TRUE(ImportAll().ok());
  ASSERT_TRUE(images_->Remove("a:1").ok());
  EXPECT_THAT(*records_->Load("import"), IsEmpty());
  Start();
  EXPECT_TRUE(ImportAll().ok());
  EXPECT_NE(images_->Find("a:1"), nullptr);
}

TEST_F(ImportDirectoryTest, AFileThatIsGoneIsForgottenAndItsImageStays) {
  Put("a.tar", ArchiveOf("a:1", "a"));
  ASSERT_TRUE(ImportAll().ok());
  ASSERT_EQ(unlink((dir_ / "import/a.tar").c_str()), 0);
  EXPECT_TRUE(ImportAll().ok());
  EXPECT_THAT(*records_->Load("import"), IsEmpty());
  EXPECT_NE(images_->Find("a:1"), nullptr);
}

TEST_F(ImportDirectoryTest, ABrokenFileIsRecordedAndDoesNotStopTheOthers) {
  Put("a.tar", ArchiveOf("a:1", "a", Break::kDiffId));
  Put("b.tar", ArchiveOf("b:1", "b"));
  EXPECT_TRUE(ImportAll().ok());
  EXPECT_NE(images_->Find("b:1"), nullptr);
  EXPECT_THAT(*records_->Load("import"), SizeIs(2));
  Start();
  ASSERT_TRUE(failpoint::Configure("image_after_staging_dir=kill").ok()) << "reading would kill";
  EXPECT_TRUE(ImportAll().ok());
}

TEST_F(ImportDirectoryTest, AnErrorThatIsNotTheFilesIsTriedAgain) {
  Put("a.tar", ArchiveOf("a:1", "a"));
  StartWithoutWorker();
  EXPECT_TRUE(ImportAll().ok());
  EXPECT_THAT(*records_->Load("import"), IsEmpty());
  Start();
  ASSERT_TRUE(failpoint::Configure("image_directory_before_record=1*error").ok());
  EXPECT_TRUE(ImportAll().ok());
  EXPECT_NE(images_->Find("a:1"), nullptr);
  EXPECT_TRUE(ImportAll().ok());
  EXPECT_THAT(*records_->Load("import"), SizeIs(1));
}

TEST_F(ImportDirectoryTest, WhatIsNoRegularFileIsLeftAlone) {
  Put("real", ArchiveOf("a:1", "a"));
  ASSERT_EQ(symlink("real", (dir_ / "import/link.tar").c_str()), 0);
  ASSERT_EQ(mkfifo((dir_ / "import/fifo.tar").c_str(), 0600), 0);
  ASSERT_EQ(mkdir((dir_ / "import/dir.tar").c_str(), 0700), 0);
  EXPECT_TRUE(ImportAll().ok());
  EXPECT_THAT(images_->List(), IsEmpty());
  EXPECT_THAT(*records_->Load("import"), IsEmpty());
}

TEST_F(ImportDirectoryTest, AnAbsentDirectoryIsEmpty) {
  EXPECT_TRUE(images_->ImportDirectory(dir_ / "none").ok());
}

}  // namespace
}  // namespace berth::image
