#include "image/worker/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "image/worker/testing/archive_writer.h"

namespace berth::worker {
namespace {

using namespace testing;  // NOLINT: the archive writer's names
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kIndexType[] = "application/vnd.oci.image.index.v1+json";

struct Planned {
  os::UniqueFd fd;
  Plan plan;
};

absl::StatusOr<Planned> PlanOf(const std::string& bytes) {
  ASSIGN_OR_RETURN(os::UniqueFd fd, os::MemFdWith("archive", bytes));
  ASSIGN_OR_RETURN(const OuterArchive archive, OuterArchive::Index(fd.get()));
  ASSIGN_OR_RETURN(Plan plan, MakePlan(archive));
  return Planned{std::move(fd), std::move(plan)};
}

std::string ErrorOf(const std::string& bytes) {
  return std::string(PlanOf(bytes).status().message());
}

std::string Platform(const std::string& architecture, const std::string& variant = "") {
  return absl::StrCat(R"(,"platform":{"os":"linux","architecture":")", architecture,
                      variant.empty() ? "" : "\",\"variant\":\"", variant, "\"}");
}

std::string IndexOf(const std::vector<std::string>& descriptors) {
  return absl::StrCat(R"({"schemaVersion":2,"mediaType":")", kIndexType, R"(","manifests":[)",
                      absl::StrJoin(descriptors, ","), "]}");
}

const std::string& Here() {
  static const auto* name = new std::string(HostPlatform().architecture);
  return *name;
}

TEST(PlanTest, AnOciLayoutGivesNamesDigestsConfigAndLayers) {
  const LayerSpec layer = GzipLayer(Tar({File("a", "b")}));
  const auto planned =
      PlanOf(OciArchive({layer, layer}, "docker.io/library/x:1", R"({"User":"7"})"));
  ASSERT_TRUE(planned.ok()) << planned.status();
  const Plan& plan = planned->plan;
  ASSERT_EQ(plan.images.size(), 1u);
  EXPECT_THAT(plan.images[0].repo_tags(), ElementsAre("docker.io/library/x:1"));
  EXPECT_EQ(plan.images[0].bare_tags_size(), 0);
  EXPECT_EQ(plan.images[0].config().user(), "7");
  EXPECT_EQ(plan.images[0].repo_digest(), plan.images[0].manifest_digest());
  ASSERT_EQ(plan.images[0].layers_size(), 2);
  EXPECT_EQ(plan.images[0].layers(0).diff_id(), layer.diff_id);
  EXPECT_EQ(plan.images[0].layers(0).compressed_size(), layer.blob.size());
  EXPECT_EQ(plan.layers.size(), 1u);
}

TEST(PlanTest, AReferenceThatIsOnlyATagIsReportedAsOne) {
  OciLayout layout;
  const std::string image = layout.AddImage(
      {}, ConfigJson({}), R"(,"annotations":{"org.opencontainers.image.ref.name":"latest"})");
  const auto planned = PlanOf(layout.Archive({image}));
  ASSERT_TRUE(planned.ok()) << planned.status();
  EXPECT_THAT(planned->plan.images[0].bare_tags(), ElementsAre("latest"));
  EXPECT_EQ(planned->plan.images[0].repo_tags_size(), 0);
}

TEST(PlanTest, BothDockerArchiveFormsAreRead) {
  for (const DockerPaths paths : {DockerPaths::kLegacy, DockerPaths::kBlobs}) {
    const LayerSpec layer = PlainLayer(Tar({File("a", "b")}));
    const auto planned = PlanOf(DockerArchive({layer}, paths, R"(["x:2","x:1","x:1"])"));
    ASSERT_TRUE(planned.ok()) << planned.status();
    EXPECT_THAT(planned->plan.images[0].repo_tags(), ElementsAre("x:1", "x:2"));
    EXPECT_EQ(planned->plan.images[0].repo_digest(), "");
    EXPECT_EQ(planned->plan.images[0].layers(0).diff_id(), layer.diff_id);
  }
}

TEST(PlanTest, ALinkedLayerOfOldDockerSaveIsFollowed) {
  const LayerSpec layer = PlainLayer(Tar({File("a", "b")}));
  const std::string config = ConfigJson({layer});
  const std::string hex = DigestOf(config).hex();
  const auto planned =
      PlanOf(Tar({File(hex + ".json", config), Dir("one/"), File("one/layer.tar", layer.blob),
                  Dir("two/"), Symlink("two/layer.tar", "../one/layer.tar"),
                  File("manifest.json",
                       absl::StrCat(R"([{"Config":")", hex,
                                    R"(.json","RepoTags":null,"Layers":["two/layer.tar"]}])"))}));
  ASSERT_TRUE(planned.ok()) << planned.status();
  EXPECT_EQ(planned->plan.images[0].layers(0).compressed_size(), layer.blob.size());
}

TEST(PlanTest, AnIndexGivesTheImageOfThisPlatform) {
  OciLayout layout;
  const LayerSpec ours = PlainLayer(Tar({File("ours", "")}));
  const LayerSpec newer = PlainLayer(Tar({File("newer", "")}));
  const std::string index = layout.AddBlob(
      kIndexType,
      IndexOf({layout.AddImage({}, ConfigJson({}, "{}", "s390x"), Platform("s390x")),
               layout.AddImage({newer}, ConfigJson({newer}), Platform(Here(), "v3")),
               layout.AddImage({ours}, ConfigJson({ours}), Platform(Here())),
               layout.AddImage({}, ConfigJson({}, "{}", "unknown"),
                               R"(,"platform":{"os":"unknown","architecture":"unknown"})")}),
      R"(,"annotations":{"io.containerd.image.name":"a/b:c"})");
  const auto planned = PlanOf(layout.Archive({index}));
  ASSERT_TRUE(planned.ok()) << planned.status();
  ASSERT_EQ(planned->plan.images.size(), 1u);
  const PlannedImage& image = planned->plan.images[0];
  EXPECT_EQ(image.layers(0).diff_id(), ours.diff_id);
  EXPECT_NE(image.repo_digest(), image.manifest_digest());
  EXPECT_THAT(index, HasSubstr(image.repo_digest()));
}

TEST(PlanTest, AnIndexWithoutThisPlatformNamesThoseItHas) {
  OciLayout layout;
  const std::string index = layout.AddBlob(
      kIndexType,
      IndexOf({layout.AddImage({}, ConfigJson({}, "{}", "s390x"), Platform("s390x")),
               layout.AddImage({}, ConfigJson({}, "{}", "arm"), Platform("arm", "v7"))}));
  EXPECT_THAT(ErrorOf(layout.Archive({index})), HasSubstr("it has linux/arm/v7, linux/s390x"));
}

TEST(PlanTest, AnImageForAnotherArchitectureIsRefused) {
  OciLayout layout;
  const std::string image = layout.AddImage({}, ConfigJson({}, "{}", "s390x"));
  EXPECT_THAT(ErrorOf(layout.Archive({image})), HasSubstr("linux/s390x"));
}

TEST(PlanTest, IndexesMayNestToABoundOnly) {
  OciLayout layout;
  std::string descriptor = layout.AddImage({}, ConfigJson({}), Platform(Here()));
  for (int depth = 0; depth < 3; ++depth) {
    descriptor = layout.AddBlob(kIndexType, IndexOf({descriptor}));
  }
  EXPECT_TRUE(PlanOf(layout.Archive({descriptor})).ok());
  for (int depth = 0; depth < 50; ++depth) {
    descriptor = layout.AddBlob(kIndexType, IndexOf({descriptor}));
  }
  EXPECT_THAT(ErrorOf(layout.Archive({descriptor})), HasSubstr("nested deeper than 4"));
}

TEST(PlanTest, AnIndexThatMultipliesItselfIsStoppedByItsWidth) {
  OciLayout layout;
  std::string descriptor = layout.AddImage({}, ConfigJson({}), Platform(Here()));
  for (int depth = 0; depth < 3; ++depth) {
    descriptor = layout.AddBlob(kIndexType, IndexOf(std::vector<std::string>(900, descriptor)));
  }
  EXPECT_THAT(ErrorOf(layout.Archive({descriptor})), HasSubstr("more than 1000 descriptors"));
}

TEST(PlanTest, BlobsThatAreNotTheirDigestAreRefused) {
  OciLayout layout;
  const std::string config = ConfigJson({});
  const std::string image = layout.AddImage({}, config);
  std::string changed = config;
  changed[changed.find("linux")] = 'L';
  layout.Corrupt(DigestOf(config).str(), changed);
  const std::string error = ErrorOf(layout.Archive({image}));
  EXPECT_THAT(error, HasSubstr(DigestOf(config).str()));
  EXPECT_THAT(error, HasSubstr(absl::StrCat("its digest is ", DigestOf(changed).str())));
}

TEST(PlanTest, ArchivesThatAreNoneAreRefused) {
  const std::string good = OciArchive({PlainLayer(Tar({File("a", "b")}))});
  EXPECT_THAT(ErrorOf(Gzip(good)), HasSubstr("compressed with gzip"));
  EXPECT_THAT(ErrorOf(Zstd(good)), HasSubstr("compressed with zstd"));
  EXPECT_THAT(ErrorOf(Tar({File("a", "b")})), HasSubstr("neither an OCI image layout"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("neither an OCI image layout"));
  EXPECT_THAT(ErrorOf(std::string(5000, 'x')), HasSubstr("read archive"));
  EXPECT_THAT(ErrorOf(good.substr(0, good.size() - 3000)), HasSubstr("Truncated tar archive"));
  EXPECT_THAT(ErrorOf(Tar({File("oci-layout", R"({"imageLayoutVersion":"2.0"})")})),
              HasSubstr("is not 1.x"));
  EXPECT_THAT(ErrorOf(Tar({File("../index.json", "")})), HasSubstr("leads out"));
  EXPECT_THAT(ErrorOf(Tar({Symlink("manifest.json", "/etc/passwd")})), HasSubstr("a link out"));
  EXPECT_THAT(ErrorOf(Tar({Symlink("manifest.json", "manifest.json")})),
              HasSubstr("too many links"));
  EXPECT_THAT(ErrorOf(Tar({File("manifest.json", "[]"), File("manifest.json", "[]")})),
              HasSubstr("there twice"));
  EXPECT_THAT(ErrorOf(Tar({File("manifest.json", "[]")})), HasSubstr("it has no image"));
  EXPECT_THAT(ErrorOf(Tar({File("manifest.json", std::string((8 << 20) + 1, ' '))})),
              HasSubstr("a document has at most"));
}

TEST(PlanTest, AHeaderThatPromisesMoreThanTheFileHasIsRefused) {
  TarEntry entry = File("manifest.json", "[]");
  entry.size_in_header = 8ull << 30;
  EXPECT_THAT(ErrorOf(Tar({entry})), HasSubstr("the archive has"));
}

TEST(PlanTest, ADockerConfigMustBeWhatItsNameSays) {
  const std::string hex(64, 'a');
  EXPECT_THAT(ErrorOf(Tar({File(hex + ".json", ConfigJson({})),
                           File("manifest.json",
                                absl::StrCat(R"([{"Config":")", hex, R"(.json","Layers":[]}])"))})),
              HasSubstr("its name says sha256:aaaa"));
}

TEST(PlanTest, LayersAndDiffIdsMustBeAsMany) {
  const LayerSpec layer = PlainLayer(Tar({}));
  OciLayout layout;
  EXPECT_THAT(ErrorOf(layout.Archive({layout.AddImage({layer}, ConfigJson({}))})),
              HasSubstr("names 0 layers, the manifest 1"));
}

TEST(PlanTest, NamesThatAreNoReferenceAreRefused) {
  EXPECT_THAT(ErrorOf(DockerArchive({}, DockerPaths::kLegacy, R"(["a b"])")),
              HasSubstr("not a reference"));
  EXPECT_THAT(ErrorOf(DockerArchive({}, DockerPaths::kLegacy,
                                    absl::StrCat("[\"", std::string(600, 'a'), "\"]"))),
              HasSubstr("not a reference"));
}

}  // namespace
}  // namespace berth::worker
