// Pulls as the daemon does them, with a worker that only speaks the protocol (testing/fake_worker).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/failpoint.h"
#include "base/os/file.h"
#include "base/os/test_dir.h"
#include "image/image_store.h"
#include "tests/fixtures/leak.h"

namespace berth::image {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ImagePullTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(mkdir((dir_ / "data").c_str(), 0700), 0);
    ASSERT_EQ(mkdir((dir_ / "hosts").c_str(), 0700), 0);
    ASSERT_EQ(mkfifo((dir_ / "hosts/gate").c_str(), 0600), 0);
    ImageStore::Options options;
    options.data_dir = dir_ / "data";
    options.worker_path = BERTH_FAKE_WORKER_PATH;
    options.registry_hosts_dir = dir_ / "hosts";
    images_ = *ImageStore::Open(options, records_.get());
  }
  void TearDown() override { EXPECT_TRUE(failpoint::Configure("").ok()); }

  absl::StatusOr<ImagePtr> Pull(const std::string& reference, const std::string& password = "",
                                const Cancel& cancel = Cancel()) {
    PullOptions options{reference, {}};
    options.auth.password = password;
    return images_->Pull(options, cancel);
  }
  std::vector<std::string> Starts() {
    absl::StatusOr<std::string> text = os::ReadFile(dir_ / "hosts/starts", 1 << 20);
    if (!text.ok()) return {};
    return absl::StrSplit(*text, '\n', absl::SkipEmpty());
  }
  void WaitForStarts(size_t count) {
    EXPECT_TRUE(testing::Eventually([&] { return Starts().size() == count; }, absl::Seconds(20)));
  }
  // Lets every worker go that waits at the gate or comes to it before the fd is closed.
  os::UniqueFd OpenGate() { return *os::Open(dir_ / "hosts/gate", O_RDWR); }
  std::vector<std::string> Names(const std::string& directory) {
    return *os::ListDir(AT_FDCWD, dir_ / "data/" + directory);
  }
  void ExpectNothingLeft() {
    EXPECT_THAT(Names("staging"), IsEmpty());
    EXPECT_THAT(Names("layers"), IsEmpty());
    EXPECT_THAT(*records_->Load("layer"), IsEmpty());
    EXPECT_THAT(images_->List(), IsEmpty());
    EXPECT_THAT(images_->Pulls(), IsEmpty());
  }

  os::TestDir dir_;
  std::unique_ptr<store::Store> records_ = store::MakeMemoryStore();
  std::unique_ptr<ImageStore> images_;
};

TEST_F(ImagePullTest, ATagNamesTheImageAndMoves) {
  const absl::StatusOr<ImagePtr> two = Pull("h.io/app-2:1");
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ((*two)->id.hex(), std::string(64, '2'));
  EXPECT_THAT((*two)->repo_tags, ElementsAre("h.io/app-2:1"));
  EXPECT_THAT((*two)->repo_digests, ElementsAre("h.io/app-2@sha256:" + std::string(64, 'd')));
  EXPECT_EQ(images_->Find("h.io/app-2:1"), *two);
  EXPECT_THAT(Names("layers"), SizeIs(2));
  EXPECT_THAT(Names("staging"), IsEmpty());
}

TEST_F(ImagePullTest, WhatIsHereIsAskedForAgainAndNotMadeAgain) {
  ASSERT_TRUE(Pull("h.io/app-2:1").ok());
  struct stat before;
  ASSERT_EQ(stat((dir_ / "data/layers/" + std::string(64, '2')).c_str(), &before), 0);
  ASSERT_TRUE(Pull("h.io/app-2:1").ok());
  struct stat after;
  ASSERT_EQ(stat((dir_ / "data/layers/" + std::string(64, '2')).c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_THAT(Starts(), SizeIs(2));
  EXPECT_THAT(images_->List(), SizeIs(1));
}

TEST_F(ImagePullTest, ADigestGivesNoTag) {
  const std::string digest = "sha256:" + std::string(64, 'e');
  const absl::StatusOr<ImagePtr> image = Pull("h.io/app-2:1@" + digest);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_THAT((*image)->repo_tags, IsEmpty());
  EXPECT_THAT((*image)->repo_digests, ElementsAre("h.io/app-2@" + digest));
}

TEST_F(ImagePullTest, EveryFailureKeepsItsCodeAndLeavesNothing) {
  for (const absl::StatusCode code :
       {absl::StatusCode::kNotFound, absl::StatusCode::kUnauthenticated,
        absl::StatusCode::kPermissionDenied, absl::StatusCode::kUnavailable,
        absl::StatusCode::kInvalidArgument, absl::StatusCode::kDataLoss,
        absl::StatusCode::kResourceExhausted}) {
    const std::string name = absl::StrCat("h.io/fail-", static_cast<int>(code), ":1");
    const absl::Status status = Pull(name).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(status.message(), absl::StrCat("pull image ", name, ": as asked"));
  }
  EXPECT_EQ(Pull("h.io/left-out:1").status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Pull("h.io/liar@sha256:" + std::string(64, 'e')).status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(Pull("h.io/UPPER:1").status().code(), absl::StatusCode::kInvalidArgument);
  ExpectNothingLeft();
}

TEST_F(ImagePullTest, TwoCallersShareOneWorkerUnlessTheirCredentialsDiffer) {
  absl::StatusOr<ImagePtr> results[3];
  std::vector<std::thread> threads;
  threads.emplace_back([&] { results[0] = Pull("h.io/gate-2:1"); });
  threads.emplace_back([&] { results[1] = Pull("h.io/gate-2:1"); });
  threads.emplace_back([&] { results[2] = Pull("h.io/gate-2:1", "secret"); });
  EXPECT_TRUE(testing::Eventually(
      [&] {
        int callers = 0;
        for (const PullStatus& pull : images_->Pulls()) callers += pull.callers;
        return callers == 3;
      },
      absl::Seconds(20)));
  WaitForStarts(2);
  const os::UniqueFd gate = OpenGate();
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(Starts(), SizeIs(2));
  EXPECT_THAT(Names("layers"), SizeIs(2));
}

TEST_F(ImagePullTest, ACancelledPullIsGoneWithItsWorkerAndItsStaging) {
  Cancel cancel;
  absl::StatusOr<ImagePtr> result;
  std::thread thread([&] { result = Pull("h.io/gate-2:1", "", cancel); });
  WaitForStarts(1);
  cancel.Set();
  thread.join();
  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(testing::Eventually([&] { return Names("staging").empty(); }, absl::Seconds(20)));
  ExpectNothingLeft();
  const os::UniqueFd gate = OpenGate();
  EXPECT_TRUE(Pull("h.io/gate-2:1").ok());
}

TEST_F(ImagePullTest, APullThatWaitsForAnothersLayersCanBeCancelled) {
  absl::StatusOr<ImagePtr> maker;
  std::thread first([&] { maker = Pull("h.io/gate-2:1"); });
  WaitForStarts(1);
  EXPECT_TRUE(testing::Eventually(
      [&] { return !images_->Pulls().empty() && images_->Pulls()[0].bytes_total == 100; },
      absl::Seconds(20)));
  Cancel cancel;
  absl::StatusOr<ImagePtr> waiter;
  std::thread second([&] { waiter = Pull("h.io/gate-3:1", "", cancel); });
  WaitForStarts(2);
  cancel.Set();
  second.join();
  EXPECT_EQ(waiter.status().code(), absl::StatusCode::kCancelled);
  {
    const os::UniqueFd gate = OpenGate();
    first.join();
  }
  EXPECT_TRUE(maker.ok()) << maker.status();
  EXPECT_TRUE(testing::Eventually([&] { return Names("staging").empty(); }, absl::Seconds(20)));
}

TEST_F(ImagePullTest, ARemovalDuringAPullDoesNotTakeItsLayers) {
  ASSERT_TRUE(Pull("h.io/app-2:1").ok());
  absl::StatusOr<ImagePtr> result;
  std::thread thread([&] { result = Pull("h.io/gate-2:1"); });
  WaitForStarts(2);
  EXPECT_TRUE(testing::Eventually(
      [&] { return !images_->Pulls().empty() && images_->Pulls()[0].bytes_total == 100; },
      absl::Seconds(20)));
  EXPECT_TRUE(images_->Remove("h.io/app-2:1").ok());
  const os::UniqueFd gate = OpenGate();
  thread.join();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(Names("layers"), SizeIs(2));
  EXPECT_EQ(images_->Find("h.io/gate-2:1"), *result);
}

}  // namespace
}  // namespace berth::image
