#include "ctl/cri_log.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace berth::ctl {
namespace {

constexpr char kLog[] =
    "2026-11-23T22:54:00.1Z stdout F hello\n"
    "2026-11-23T22:54:00.2Z stderr P half \n"
    "2026-11-23T22:54:00.3Z stdout F between\n"
    "2026-11-23T22:54:00.4Z stderr F line\n"
    "2026-11-23T22:54:00.5Z stdout F \n";

std::string Decode(absl::string_view log, size_t piece, bool timestamps = false) {
  std::string out;
  LogDecoder decoder(
      [&](LogStream stream, absl::string_view text) {
        absl::StrAppend(&out, stream == LogStream::kStdout ? "1" : "2", "{", text, "}");
      },
      timestamps);
  for (size_t i = 0; i < log.size(); i += piece) decoder.Feed(log.substr(i, piece));
  return out;
}

TEST(CriLogTest, PartsOfALineAreJoinedWhateverComesBetween) {
  EXPECT_EQ(Decode(kLog, sizeof(kLog)), "1{hello\n}2{half }1{between\n}2{line\n}1{\n}");
}

TEST(CriLogTest, PiecesOfAnySizeGiveTheSame) {
  for (size_t piece = 1; piece < 60; ++piece) {
    EXPECT_EQ(Decode(kLog, piece), Decode(kLog, sizeof(kLog))) << piece;
  }
}

TEST(CriLogTest, OnlyTheFirstPartOfALineGetsItsTime) {
  EXPECT_EQ(Decode(kLog, 1000, true),
            "1{2026-11-23T22:54:00.1Z hello\n}2{2026-11-23T22:54:00.2Z half }"
            "1{2026-11-23T22:54:00.3Z between\n}2{line\n}1{2026-11-23T22:54:00.5Z \n}");
}

TEST(CriLogTest, WhatIsNoEntryIsPassedOn) {
  EXPECT_EQ(Decode("garbage\n2026-11-23T22:54:00Z stdout X y\n", 1000),
            "1{garbage\n}1{2026-11-23T22:54:00Z stdout X y\n}");
}

TEST(CriLogTest, AnEntryWithoutItsNewlineIsNotShown) {
  EXPECT_EQ(Decode("2026-11-23T22:54:00Z stdout F half an ent", 1000), "");
}

TEST(CriLogTest, FurtherTagsAreIgnored) {
  LogEntry entry;
  ASSERT_TRUE(ParseLogEntry("2026-11-23T22:54:00Z stderr P:x:y text", &entry));
  EXPECT_TRUE(entry.partial);
  EXPECT_EQ(entry.text, "text");
}

}  // namespace
}  // namespace berth::ctl
