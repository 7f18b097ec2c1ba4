#include "image/image_records.h"

#include <gtest/gtest.h>

namespace berth::image {
namespace {

Digest Id(char c) { return *Digest::FromSha256Hex(std::string(64, c)); }

Image FullImage() {
  Image image{Id('a')};
  image.repo_tags = {"h.io/x:1", "h.io/x:2"};
  image.repo_digests = {"h.io/x@" + Id('d').str()};
  image.size = 4711;
  image.pinned = true;
  image.layers = {Id('1'), Id('2'), Id('1')};
  image.config.entrypoint = {"/bin/app", "--x"};
  image.config.cmd = {"a", ""};
  image.config.env = {"A=1", "B=\xff\xfe"};
  image.config.user = "1:2";
  image.config.working_dir = "/w";
  image.config.stop_signal = "SIGINT";
  image.config.volumes = {"/v"};
  image.config.labels = {{"k", "v"}};
  image.config.architecture = "amd64";
  image.config.os = "linux";
  return image;
}

TEST(ImageRecordsTest, AnImageReadsBackAsItWasWritten) {
  const Image image = FullImage();
  const store::Record record = ToRecord(image);
  EXPECT_EQ(record.kind, "image");
  EXPECT_EQ(record.id, image.id.str());
  EXPECT_EQ(record.version, 1u);
  absl::StatusOr<Image> back = ImageFromRecord(record);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->id, image.id);
  EXPECT_EQ(back->repo_tags, image.repo_tags);
  EXPECT_EQ(back->repo_digests, image.repo_digests);
  EXPECT_EQ(back->size, image.size);
  EXPECT_EQ(back->pinned, image.pinned);
  EXPECT_EQ(back->layers, image.layers);
  EXPECT_EQ(back->config.entrypoint, image.config.entrypoint);
  EXPECT_EQ(back->config.cmd, image.config.cmd);
  EXPECT_EQ(back->config.env, image.config.env);
  EXPECT_EQ(back->config.user, image.config.user);
  EXPECT_EQ(back->config.working_dir, image.config.working_dir);
  EXPECT_EQ(back->config.stop_signal, image.config.stop_signal);
  EXPECT_EQ(back->config.volumes, image.config.volumes);
  EXPECT_EQ(back->config.labels, image.config.labels);
  EXPECT_EQ(back->config.architecture, image.config.architecture);
  EXPECT_EQ(back->config.os, image.config.os);
}

TEST(ImageRecordsTest, ALayerReadsBackAsItWasWritten) {
  absl::StatusOr<std::pair<Digest, LayerFacts>> back =
      LayerFromRecord(ToRecord(Id('b'), LayerFacts{10, 20, true}));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->first, Id('b'));
  EXPECT_EQ(back->second.bytes, 10u);
  EXPECT_EQ(back->second.inodes, 20u);
  EXPECT_TRUE(back->second.opaque_root);
}

TEST(ImageRecordsTest, WhatCannotBeUnderstoodIsDataLoss) {
  store::Record newer = ToRecord(FullImage());
  newer.version = 2;
  store::Record garbage = ToRecord(FullImage());
  garbage.body = "\xff\xff\xff";
  store::Record bad_id = ToRecord(FullImage());
  bad_id.id = "sha256:abc";
  Image no_layers = FullImage();
  no_layers.layers.clear();
  Image no_size = FullImage();
  no_size.size = 0;
  for (const store::Record& record :
       {newer, garbage, bad_id, ToRecord(no_layers), ToRecord(no_size)}) {
    EXPECT_EQ(ImageFromRecord(record).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(ImageRecordsTest, AConfigWithNulBytesIsRefused) {
  worker::ImageConfig config;
  config.add_env("A=b");
  EXPECT_TRUE(ConfigFromWorker(config).ok());
  config.add_env(std::string("A=\0b", 4));
  EXPECT_EQ(ConfigFromWorker(config).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace berth::image
