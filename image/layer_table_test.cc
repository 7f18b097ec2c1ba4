#include "image/layer_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace berth::image {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;

Digest Id(char c) { return *Digest::FromSha256Hex(std::string(64, c)); }
Deadline Soon() { return Deadline::After(absl::Seconds(20)); }

TEST(LayerTableTest, AClaimGivesWhatIsAbsentAndHoldsTheRest) {
  LayerTable table;
  table.Add(Id('a'), {10, 1, false});
  absl::StatusOr<std::set<Digest>> missing = table.Claim("one", {Id('a'), Id('b')}, Soon());
  ASSERT_TRUE(missing.ok());
  EXPECT_THAT(*missing, ElementsAre(Id('b')));
  EXPECT_THAT(table.Condemn({Id('a'), Id('b')}, {}), IsEmpty());
  table.Finish({{Id('b'), {20, 2, false}}});
  EXPECT_THAT(table.All(), ElementsAre(Id('a'), Id('b')));
  EXPECT_EQ(table.Total().bytes, 30u);
  table.Release("one");
  EXPECT_THAT(table.Condemn(table.All(), {Id('b')}), ElementsAre(Key(Id('a'))));
}

TEST(LayerTableTest, ReleaseWithoutFinishLeavesNothing) {
  LayerTable table;
  ASSERT_TRUE(table.Claim("one", {Id('a')}, Soon()).ok());
  EXPECT_THAT(table.All(), IsEmpty());
  table.Release("one");
  EXPECT_THAT(*table.Claim("two", {Id('a')}, Soon()), ElementsAre(Id('a')));
}

TEST(LayerTableTest, ASecondClaimWaitsForTheFirstAndReusesItsLayers) {
  LayerTable table;
  ASSERT_TRUE(table.Claim("one", {Id('a')}, Soon()).ok());
  std::set<Digest> missing = {Id('f')};
  std::thread second([&] { missing = *table.Claim("two", {Id('a'), Id('b')}, Soon()); });
  table.Finish({{Id('a'), {}}});
  table.Release("one");
  second.join();
  EXPECT_THAT(missing, ElementsAre(Id('b')));
}

TEST(LayerTableTest, AClaimEndsAtItsDeadline) {
  LayerTable table;
  ASSERT_TRUE(table.Claim("one", {Id('a')}, Soon()).ok());
  EXPECT_EQ(table.Claim("two", {Id('a')}, Deadline::After(absl::ZeroDuration())).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST(LayerTableTest, CondemnedLayersCannotBeHeldUntilRestored) {
  LayerTable table;
  table.Add(Id('a'), {});
  const std::map<Digest, LayerFacts> condemned = table.Condemn({Id('a')}, {});
  EXPECT_EQ(table.Hold("c", {Id('a')}).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(table.Condemn({Id('a')}, {}), IsEmpty()) << "condemned once";
  table.Restore(condemned);
  EXPECT_TRUE(table.Hold("c", {Id('a')}).ok());
  EXPECT_THAT(table.Condemn({Id('a')}, {}), IsEmpty());
  table.Release("c");
  table.Forget(table.Condemn({Id('a')}, {}));
  EXPECT_THAT(table.All(), IsEmpty());
}

TEST(LayerTableTest, HoldingAgainReplacesWhatWasHeld) {
  LayerTable table;
  table.Add(Id('a'), {});
  table.Add(Id('b'), {});
  ASSERT_TRUE(table.Hold("c", {Id('a')}).ok());
  ASSERT_TRUE(table.Hold("c", {Id('b'), Id('b')}).ok());
  EXPECT_THAT(table.Condemn(table.All(), {}), ElementsAre(Key(Id('a'))));
  EXPECT_EQ(table.Hold("c", {Id('e')}).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(table.Condemn({Id('b')}, {}), IsEmpty()) << "a failed hold changes nothing";
}

}  // namespace
}  // namespace berth::image
