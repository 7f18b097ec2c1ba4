#include "image/image_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::image {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Digest Id(char c) { return *Digest::FromSha256Hex(std::string(64, c)); }

Image MakeImage(char id, std::vector<std::string> tags, std::vector<std::string> digests = {}) {
  Image image{Id(id)};
  image.repo_tags = std::move(tags);
  image.repo_digests = std::move(digests);
  image.size = 1;
  image.layers = {Id('0')};
  return image;
}

ImageIndex::Ptr IndexOf(const std::vector<Image>& images) {
  ImageIndex::Ptr index = ImageIndex::Make({});
  for (const Image& image : images) index = index->With(index->Added(image));
  return index;
}

TEST(ImageIndexTest, FindsByEveryWayToNameAnImage) {
  const std::string by_digest = "docker.io/library/app@" + Id('d').str();
  const ImageIndex::Ptr index =
      IndexOf({MakeImage('a', {"docker.io/library/app:latest"}, {by_digest}),
               MakeImage('b', {"h.io:5000/x/y:1"})});
  for (const std::string& reference :
       {"sha256:" + std::string(64, 'a'), std::string(64, 'a'), std::string(12, 'a'),
        std::string("app"), std::string("app:latest"), std::string("docker.io/app"), by_digest,
        "app@" + Id('d').str(), "app:other@" + Id('d').str()}) {
    ASSERT_NE(index->Find(reference), nullptr) << reference;
    EXPECT_EQ(index->Find(reference)->id, Id('a')) << reference;
  }
  EXPECT_EQ(index->Find("h.io:5000/x/y:1")->id, Id('b'));
  for (const std::string& reference :
       {std::string(11, 'a'), std::string(12, 'A'), std::string(65, 'a'), std::string("app:2"),
        std::string("h.io:5000/x/y"), "app@" + Id('e').str(), Id('c').str(), std::string(""),
        std::string("not a name")}) {
    EXPECT_EQ(index->Find(reference), nullptr) << reference;
  }
}

TEST(ImageIndexTest, AnAmbiguousPrefixFindsNothingAndANameWinsOverAPrefix) {
  Image first{*Digest::FromSha256Hex(std::string(63, 'a') + "1")};
  Image second{*Digest::FromSha256Hex(std::string(63, 'a') + "2")};
  const ImageIndex::Ptr index =
      IndexOf({first, second, MakeImage('b', {"docker.io/library/aaaaaaaaaaaa:latest"})});
  EXPECT_EQ(index->Find(std::string(13, 'a')), nullptr);
  EXPECT_EQ(index->Find(std::string(12, 'a'))->id, Id('b'));
}

TEST(ImageIndexTest, ATagMovesToTheNewerImageAndTheOlderStaysUntagged) {
  const ImageIndex::Ptr index =
      IndexOf({MakeImage('a', {"h.io/x:1", "h.io/x:2"}), MakeImage('b', {"h.io/x:1"})});
  EXPECT_EQ(index->Find("h.io/x:1")->id, Id('b'));
  EXPECT_THAT(index->FindById(Id('a'))->repo_tags, ElementsAre("h.io/x:2"));
  const ImageIndex::Ptr later = index->With(index->Added(MakeImage('c', {"h.io/x:2"})));
  EXPECT_THAT(later->FindById(Id('a'))->repo_tags, IsEmpty());
  EXPECT_EQ(later->List().size(), 3u);
  EXPECT_EQ(index->FindById(Id('a'))->repo_tags.size(), 1u) << "a snapshot never changes";
}

TEST(ImageIndexTest, TheSameImageTwiceMergesNamesAndStaysPinned) {
  Image pinned = MakeImage('a', {"h.io/x:2"}, {"h.io/x@" + Id('d').str()});
  pinned.pinned = true;
  Image again = MakeImage('a', {"h.io/x:1"});
  again.layers = {Id('f')};
  const ImageIndex::Ptr index = IndexOf({pinned, again});
  const ImagePtr image = index->FindById(Id('a'));
  EXPECT_THAT(image->repo_tags, ElementsAre("h.io/x:1", "h.io/x:2"));
  EXPECT_THAT(image->repo_digests, ElementsAre("h.io/x@" + Id('d').str()));
  EXPECT_TRUE(image->pinned);
  EXPECT_THAT(image->layers, ElementsAre(Id('0'))) << "what was verified first stays";
}

TEST(ImageIndexTest, WithoutForgetsTheImageItsNamesAndItsLayers) {
  const ImageIndex::Ptr index = IndexOf({MakeImage('a', {"h.io/x:1", "h.io/x:2"})});
  EXPECT_THAT(index->Layers(), ElementsAre(Id('0')));
  const ImageIndex::Ptr empty = index->Without(Id('a'));
  EXPECT_EQ(empty->Find("h.io/x:2"), nullptr);
  EXPECT_THAT(empty->List(), IsEmpty());
  EXPECT_THAT(empty->Layers(), IsEmpty());
}

}  // namespace
}  // namespace berth::image
