#include "image/worker/decompress.h"

#include <gtest/gtest.h>

#include "base/status_macros.h"
#include "image/worker/testing/archive_writer.h"

namespace berth::worker {
namespace {

std::string Sample(size_t size) {
  std::string text;
  uint32_t x = 12345;
  while (text.size() < size) {
    x = x * 1664525 + 1013904223;
    text.append(x >> 28, static_cast<char>('a' + (x >> 8) % 26));
  }
  text.resize(size);
  return text;
}

absl::StatusOr<std::string> Inflate(const std::string& data, size_t chunk) {
  StringSource source(data, chunk);
  ASSIGN_OR_RETURN(std::unique_ptr<Decompressor> stream, Decompressor::Open(&source));
  std::string out;
  for (;;) {
    ASSIGN_OR_RETURN(const absl::string_view piece, stream->Next());
    if (piece.empty()) break;
    out.append(piece.data(), piece.size());
  }
  ASSIGN_OR_RETURN(const absl::string_view after, stream->Next());
  EXPECT_TRUE(after.empty());
  return out;
}

class DecompressTest : public ::testing::TestWithParam<size_t> {};

TEST_P(DecompressTest, EveryFormComesBackWhole) {
  const size_t chunk = GetParam();
  for (const size_t size : {size_t{0}, size_t{1}, size_t{300'000}, size_t{2'000'000}}) {
    const std::string text = Sample(size);
    if (chunk == 1 && size > 300'000) continue;
    EXPECT_EQ(Inflate(text, chunk).value(), text);
    EXPECT_EQ(Inflate(testing::Gzip(text), chunk).value(), text);
    EXPECT_EQ(Inflate(testing::Zstd(text), chunk).value(), text);
  }
}

TEST_P(DecompressTest, SeveralMembersOrFramesAreOneStream) {
  const std::string a = Sample(100'000);
  const std::string b = "the second one";
  EXPECT_EQ(Inflate(testing::Gzip(a) + testing::Gzip("") + testing::Gzip(b), GetParam()).value(),
            a + b);
  EXPECT_EQ(Inflate(testing::Zstd(a) + testing::Zstd(b), GetParam()).value(), a + b);
}

TEST_P(DecompressTest, BytesAfterTheEndAreRefused) {
  for (const std::string& garbage :
       {std::string("x"), std::string(8, '\0'), std::string("garbage")}) {
    for (const std::string& data : {testing::Gzip("abc"), testing::Zstd("abc")}) {
      const absl::Status s = Inflate(data + garbage, GetParam()).status();
      EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument) << s;
    }
  }
}

TEST_P(DecompressTest, AStreamThatIsCutOffIsRefused) {
  for (const std::string& data : {testing::Gzip(Sample(50'000)), testing::Zstd(Sample(50'000))}) {
    for (const size_t keep : {size_t{5}, size_t{12}, data.size() / 2, data.size() - 9,
                              data.size() - 4, data.size() - 1}) {
      const absl::Status s = Inflate(data.substr(0, keep), GetParam()).status();
      EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument) << keep << " " << s;
    }
  }
}

TEST_P(DecompressTest, AWrongGzipChecksumIsRefused) {
  std::string data = testing::Gzip(Sample(50'000));
  data[data.size() - 6] = static_cast<char>(data[data.size() - 6] ^ 1);
  const absl::Status s = Inflate(data, GetParam()).status();
  EXPECT_EQ(s.message(), "inflate gzip: the checksum does not match");
}

INSTANTIATE_TEST_SUITE_P(ChunkSizes, DecompressTest, ::testing::Values(1, 7, 4096, 1 << 20));

TEST(SniffCompressionTest, KnowsTheMagicNumbers) {
  EXPECT_EQ(SniffCompression("\x1f\x8b\x08"), Compression::kGzip);
  EXPECT_EQ(SniffCompression("\x28\xb5\x2f\xfd"), Compression::kZstd);
  EXPECT_EQ(SniffCompression("\x50\x2a\x4d\x18"), Compression::kZstd);
  EXPECT_EQ(SniffCompression("etc/"), Compression::kNone);
  EXPECT_EQ(SniffCompression(""), Compression::kNone);
}

}  // namespace
}  // namespace berth::worker
