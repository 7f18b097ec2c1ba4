#include "shim/front/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/string_view.h"
#include "shim/front/resource_flags.h"
#include "shim/front/signal_number.h"

namespace berth::shim::front {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<Arguments> Parse(const Words& words) {
  return Arguments::Parse(words, {{"bundle", 'b'}, {"env", 'e'}, {"force", 'f', Flag::kSwitch}});
}

TEST(ArgumentsTest, FlagsComeInEveryFormThatRuncTakes) {
  const absl::StatusOr<Arguments> a =
      Parse({"--bundle", "/a", "-force", "-e", "A=1", "--env=B=2", "id", "--bundle", "x"});
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_EQ(a->Text("bundle"), "/a");
  EXPECT_TRUE(a->IsOn("force"));
  EXPECT_THAT(a->List("env"), ElementsAre("A=1", "B=2"));
  // What follows the first word belongs to it.
  EXPECT_THAT(a->words(), ElementsAre("id", "--bundle", "x"));
}

TEST(ArgumentsTest, ADoubleDashEndsTheFlags) {
  const absl::StatusOr<Arguments> a = Parse({"-f", "--", "-b", "y"});
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_THAT(a->words(), ElementsAre("-b", "y"));
}

TEST(ArgumentsTest, ASwitchCanBeTurnedOff) {
  const absl::StatusOr<Arguments> a = Parse({"--force=false", "-"});
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_TRUE(a->Has("force"));
  EXPECT_FALSE(a->IsOn("force"));
  EXPECT_THAT(a->words(), ElementsAre("-"));
}

TEST(ArgumentsTest, WhatIsWrongIsNamed) {
  const std::pair<Words, const char*> wrong[] = {
      {{"--nope"}, "unknown flag: --nope"},
      {{"--bundle"}, "--bundle: needs a value"},
      {{"--force=perhaps"}, "--force: neither true nor false: perhaps"}};
  for (const auto& [words, message] : wrong) {
    const absl::StatusOr<Arguments> a = Parse(words);
    EXPECT_TRUE(absl::IsInvalidArgument(a.status()));
    EXPECT_THAT(std::string(a.status().message()), HasSubstr(message));
  }
}

TEST(ArgumentsTest, ANumberThatIsNoneIsRefusedByTheFlagsName) {
  const absl::StatusOr<Arguments> a = Parse({"--bundle", "7x"});
  ASSERT_TRUE(a.ok());
  EXPECT_THAT(std::string(a->Number("bundle").status().message()), HasSubstr("--bundle"));
  EXPECT_EQ(*Parse({"-b", "-7"})->Number("bundle"), -7);
  EXPECT_FALSE(Parse({})->Number("bundle")->has_value());
}

TEST(SignalNumberTest, NumbersAndNamesInEveryCase) {
  EXPECT_EQ(*SignalNumber("9"), 9);
  EXPECT_EQ(*SignalNumber("KILL"), 9);
  EXPECT_EQ(*SignalNumber("SIGKILL"), 9);
  EXPECT_EQ(*SignalNumber("sigterm"), 15);
  EXPECT_EQ(*SignalNumber("WINCH"), 28);
  EXPECT_EQ(*SignalNumber("SIGRTMIN"), 34);
  EXPECT_EQ(*SignalNumber("RTMIN+3"), 37);
  EXPECT_EQ(*SignalNumber("RTMAX-1"), 63);
  for (const char* wrong : {"", "0", "65", "-1", "KILLS", "SIG", "RTMAX+1", "9x"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(SignalNumber(wrong).status())) << wrong;
  }
}

TEST(UpdateFlagsTest, SizesTakeUnits) {
  const absl::StatusOr<UpdateFlags> flags =
      ParseUpdateFlags({"--memory", "64m", "--memory-swap=-1", "--pids-limit", "7", "c"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->id, "c");
  EXPECT_EQ(flags->limits.memory_bytes, 64 << 20);
  EXPECT_EQ(flags->limits.memory_swap_bytes, -1);
  EXPECT_EQ(flags->limits.pids_max, 7);
  for (const char* wrong : {"", "m", "-2", "1x", "9999999999g"}) {
    const absl::Status status = ParseUpdateFlags({"--memory", wrong, "c"}).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr("--memory: ")) << wrong;
  }
}

}  // namespace
}  // namespace berth::shim::front
