#include "base/os/interface_counters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::os {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(InterfaceCountersTest, TheKernelsTableIsParsedWithoutLoopback) {
  const std::vector<InterfaceCounters> all = ParseNetDev(
      "Inter-|   Receive                            |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n"
      "    lo:     100       1    0    0    0     0          0         0      100       1    0    "
      "0\n"
      "  eth0:    1500      10    2    0    0     0          0         0     2500      20    3    "
      "0\n"
      "net.1:7 1 0 0 0 0 0 0 8 1 0 0\n"
      "broken: 1 2\n");
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].name, "eth0");
  EXPECT_EQ(all[0].rx_bytes, 1500u);
  EXPECT_EQ(all[0].rx_errors, 2u);
  EXPECT_EQ(all[0].tx_bytes, 2500u);
  EXPECT_EQ(all[0].tx_errors, 3u);
  EXPECT_EQ(all[1].name, "net.1");
  EXPECT_EQ(all[1].tx_bytes, 8u);
}

TEST(InterfaceCountersTest, ANamespaceThatIsNotThereHasNone) {
  const auto all = ReadInterfaceCounters({"/nonexistent/netns"});
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_THAT(*all, SizeIs(1));
  EXPECT_THAT((*all)[0], IsEmpty());
}

}  // namespace
}  // namespace berth::os
