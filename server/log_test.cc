// Log lines: format, escaping, limits.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "server/log_format.h"
#include "server/log_limiter.h"

namespace berth::server {
namespace {

constexpr int64_t kTime = 1795478158600888123;

TEST(LogFormatTest, TextIsKeyEqualsValue) {
  const LogField fields[] = {{"container", "0f3c"}, {"empty", ""}, {"error", "no such file"}};
  EXPECT_EQ(FormatText(kTime, LogLevel::kWarning, "call failed", fields, 3),
            "time=2026-11-23T23:55:58.600888Z level=warning msg=\"call failed\" container=0f3c "
            "error=\"no such file\"");
}

TEST(LogFormatTest, AGuestCannotForgeALineOrMoveTheCursor) {
  const LogField fields[] = {{"out", "a\nlevel=info \x1b[2J\x7f\xc2\x9b\"\\"}};
  const std::string line = FormatText(kTime, LogLevel::kInfo, "m", fields, 1);
  EXPECT_EQ(line.substr(line.find("out=")),
            "out=\"a\\nlevel=info \\u001b[2J\\u007f\\u009b\\\"\\\\\"");
}

TEST(LogFormatTest, JsonParsesBackWhateverTheBytes) {
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  const LogField fields[] = {{"bytes", all}, {"euro", "\xe2\x82\xac"}, {"cut", "\xe2\x82"}};
  const std::string line = FormatJson(kTime, LogLevel::kError, "m", fields, 3);
  const auto parsed = nlohmann::json::parse(line, nullptr, false);
  ASSERT_FALSE(parsed.is_discarded()) << line;
  EXPECT_EQ(parsed["euro"], "\xe2\x82\xac");
  EXPECT_EQ(parsed["cut"], "\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(parsed["level"], "error");
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(LogFormatTest, BytesThatOnlyLookLikeUtf8AreReplaced) {
  // Overlong, a surrogate, above U+10FFFF.
  for (const char* bad : {"\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    const LogField field{"x", bad};
    const auto parsed =
        nlohmann::json::parse(FormatJson(kTime, LogLevel::kInfo, "m", &field, 1), nullptr, false);
    ASSERT_FALSE(parsed.is_discarded());
    EXPECT_EQ(parsed["x"].get<std::string>().substr(0, 3), "\xef\xbf\xbd");
  }
}

TEST(LogLimiterTest, AWindowHasItsLinesAndTheNextSaysHowManyWereLeftOut) {
  LogLimiter limiter(2, absl::Seconds(1));
  EXPECT_TRUE(limiter.Admit("k", 0).write);
  EXPECT_TRUE(limiter.Admit("k", 1).write);
  EXPECT_FALSE(limiter.Admit("k", 2).write);
  EXPECT_FALSE(limiter.Admit("k", 3).write);
  EXPECT_TRUE(limiter.Admit("other", 4).write);
  const LogLimiter::Verdict verdict = limiter.Admit("k", 1000000001);
  EXPECT_TRUE(verdict.write);
  EXPECT_EQ(verdict.suppressed, 2);
}

}  // namespace
}  // namespace berth::server
