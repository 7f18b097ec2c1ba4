#include "ctl/args.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::ctl {
namespace {

using ::testing::ElementsAre;

const std::vector<FlagSpec>& Specs() {
  static const auto* specs =
      new std::vector<FlagSpec>{{"name", 'n', true}, {"env", 'e', true}, {"detach", 'd', false}};
  return *specs;
}

TEST(ArgsTest, FlagsAndArgumentsMix) {
  const auto args = Args::Parse(Specs(), {"a", "--name", "x", "b", "-d"}, Order::kAnywhere);
  ASSERT_TRUE(args.ok());
  EXPECT_EQ(args->Value("name"), "x");
  EXPECT_TRUE(args->Has("detach"));
  EXPECT_THAT(args->rest(), ElementsAre("a", "b"));
}

TEST(ArgsTest, ACommandKeepsItsOwnFlags) {
  const auto args =
      Args::Parse(Specs(), {"-d", "image", "sh", "-c", "--name=y"}, Order::kBeforeTheRest);
  ASSERT_TRUE(args.ok());
  EXPECT_FALSE(args->Has("name"));
  EXPECT_THAT(args->rest(), ElementsAre("image", "sh", "-c", "--name=y"));
}

TEST(ArgsTest, DoubleDashEndsTheFlags) {
  const auto args = Args::Parse(Specs(), {"--name=x", "--", "-d"}, Order::kAnywhere);
  ASSERT_TRUE(args.ok());
  EXPECT_FALSE(args->Has("detach"));
  EXPECT_THAT(args->rest(), ElementsAre("-d"));
}

TEST(ArgsTest, RepeatedFlagsKeepTheirOrder) {
  const auto args = Args::Parse(Specs(), {"-e", "A=1", "--env=B=2"}, Order::kAnywhere);
  ASSERT_TRUE(args.ok());
  EXPECT_THAT(args->Values("env"), ElementsAre("A=1", "B=2"));
}

TEST(ArgsTest, BadFlagsAreNamed) {
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{"--nope"}, "flag --nope is unknown"},    {{"-x"}, "flag -x is unknown"},
      {{"-name"}, "flag -name is unknown"},      {{"--d"}, "flag --d is unknown"},
      {{"--name"}, "flag --name needs a value"}, {{"--detach=yes"}, "flag --detach takes no value"},
  };
  for (const auto& [words, message] : cases) {
    const auto args = Args::Parse(Specs(), words, Order::kAnywhere);
    ASSERT_FALSE(args.ok()) << words[0];
    EXPECT_EQ(args.status().message(), message);
  }
}

TEST(ArgsTest, NumbersHaveARange) {
  const auto args = Args::Parse({{"time", 't', true}}, {"-t", "70"}, Order::kAnywhere);
  ASSERT_TRUE(args.ok());
  EXPECT_EQ(*args->Number("time", 10, 0, 100), 70);
  EXPECT_EQ(*args->Number("other", 10, 0, 100), 10);
  EXPECT_EQ(args->Number("time", 10, 0, 60).status().message(),
            "flag --time must be a whole number from 0 to 60");
}

}  // namespace
}  // namespace berth::ctl
