#include "image/planned_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace berth::image {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string DigestText(char c) { return absl::StrCat("sha256:", std::string(64, c)); }

worker::ImportPlan PullPlan() {
  worker::ImportPlan plan;
  worker::PlannedImage* image = plan.add_images();
  image->set_config_digest(DigestText('c'));
  image->set_repo_digest(DigestText('d'));
  image->add_layers()->set_diff_id(DigestText('1'));
  return plan;
}

TEST(NamePulledTest, ATagGivesTagAndDigest) {
  const auto images = NamePulled(PullPlan(), *ParseReference("h.io/x/app:1"));
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_EQ(images->front().id.str(), DigestText('c'));
  EXPECT_THAT(images->front().repo_tags, ElementsAre("h.io/x/app:1"));
  EXPECT_THAT(images->front().repo_digests, ElementsAre("h.io/x/app@" + DigestText('d')));
}

TEST(NamePulledTest, ADigestGivesNoTagEvenWithOneBesideIt) {
  for (const std::string text : {"app@", "app:1@"}) {
    const auto images = NamePulled(PullPlan(), *ParseReference(text + DigestText('d')));
    ASSERT_TRUE(images.ok()) << images.status();
    EXPECT_THAT(images->front().repo_tags, IsEmpty());
    EXPECT_THAT(images->front().repo_digests,
                ElementsAre("docker.io/library/app@" + DigestText('d')));
  }
}

TEST(NamePulledTest, AnotherDigestThanAskedForIsDataLoss) {
  const auto images = NamePulled(PullPlan(), *ParseReference("app@" + DigestText('e')));
  EXPECT_EQ(images.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(images.status().message()), HasSubstr(DigestText('e')));
}

TEST(NamePulledTest, APlanOfTwoImagesIsTheWorkersBug) {
  worker::ImportPlan plan = PullPlan();
  *plan.add_images() = plan.images(0);
  EXPECT_EQ(NamePulled(plan, *ParseReference("app")).status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace berth::image
