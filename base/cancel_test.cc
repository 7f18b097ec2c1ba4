#include "base/cancel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

namespace berth {
namespace {

bool IsReadable(int fd, int timeout_ms) {
  pollfd p{fd, POLLIN, 0};
  return poll(&p, 1, timeout_ms) == 1;
}

TEST(CancelTest, ItsFdBecomesReadableWhenItIsSet) {
  Cancel cancel;
  EXPECT_FALSE(cancel.cancelled());
  EXPECT_FALSE(IsReadable(cancel.fd(), 0));
  std::thread other([&] { cancel.Set(); });
  EXPECT_TRUE(IsReadable(cancel.fd(), -1));
  other.join();
  EXPECT_TRUE(cancel.cancelled());
}

TEST(CancelTest, AnFdMadeAfterwardsIsReadableAtOnceAndStaysSo) {
  Cancel cancel;
  cancel.Set();
  cancel.Set();
  EXPECT_TRUE(IsReadable(cancel.fd(), 0));
  EXPECT_TRUE(IsReadable(cancel.fd(), 0));
  EXPECT_NE(fcntl(cancel.fd(), F_GETFD) & FD_CLOEXEC, 0);
}

}  // namespace
}  // namespace berth
