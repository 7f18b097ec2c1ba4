#include "base/os/sysctl.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace berth::os {
namespace {

TEST(SysctlTest, TheFirstSeparatorIsTheOneThatSeparates) {
  EXPECT_EQ(*SysctlPath("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
  EXPECT_EQ(*SysctlPath("net/ipv4/ip_forward"), "net/ipv4/ip_forward");
  EXPECT_EQ(*SysctlPath("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
  EXPECT_EQ(*SysctlPath("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
}

TEST(SysctlTest, WhatCouldLeaveTheTreeIsNoName) {
  for (const char* name : {"", ".", "net..ipv4", "net/../kernel/panic", "net.//.x", "/etc/passwd",
                           "net.ipv4 .x", "net.ipv4.x\n"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(SysctlPath(name).status())) << name;
  }
}

TEST(SysctlTest, AnAbsentOneIsTheRequestsFaultAndNamed) {
  const absl::Status status = WriteSysctl("net.berth.nothing", "1");
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "net.berth.nothing")) << status;
}

}  // namespace
}  // namespace berth::os
