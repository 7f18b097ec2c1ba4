#include "shim/monitor/volumes.h"

#include <gtest/gtest.h>

#include <string>

namespace berth::shim::monitor {
namespace {

TEST(TakeLastMountPointTest, GoesFromTheNewestToTheOldestWithoutTheRoot) {
  std::string text =
      "36 35 0:50 / / rw - overlay overlay rw\n"
      "37 36 0:51 / /proc rw,nosuid - proc proc rw\n"
      "38 36 8:1 /a /with\\040blank\\134and\\011tab rw - ext4 /dev/sda1 rw\n"
      "39 36 0:50 / / rw - overlay overlay rw";
  EXPECT_STREQ(TakeLastMountPoint(text.data()), "/with blank\\and\ttab");
  EXPECT_STREQ(TakeLastMountPoint(text.data()), "/proc");
  EXPECT_EQ(TakeLastMountPoint(text.data()), nullptr);
  EXPECT_EQ(TakeLastMountPoint(text.data()), nullptr);
}

TEST(TakeLastMountPointTest, LinesThatAreNoneAreSkipped) {
  for (const char* text : {"", "\n", "\n\n", "1 2", "1 2 3 4", "1 2 3 4 /cut", "    "}) {
    std::string copy = text;
    EXPECT_EQ(TakeLastMountPoint(copy.data()), nullptr) << text;
  }
}

}  // namespace
}  // namespace berth::shim::monitor
