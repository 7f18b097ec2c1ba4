#include "shim/console.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/test_dir.h"

namespace berth::shim {
namespace {

Deadline Soon() { return Deadline::After(absl::Seconds(10)); }

void Send(int socket, const std::vector<int>& fds) {
  char name[] = "/dev/ptmx";
  iovec data{name, sizeof name - 1};
  alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  ASSERT_EQ(sendmsg(socket, &message, 0), 9);
}

TEST(ConsoleTest, OneDescriptorIsReceivedCloseOnExec) {
  auto sockets = MakeConsoleSockets();
  ASSERT_TRUE(sockets.ok()) << sockets.status();
  const auto null = os::Open("/dev/null", O_RDONLY);
  Send(sockets->second.get(), {null->get()});
  const auto received = ReceiveConsole(sockets->first.get(), Soon());
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_EQ(fcntl(received->get(), F_GETFD), FD_CLOEXEC);
}

TEST(ConsoleTest, WhatIsNoSingleDescriptorIsRefusedAndNoneIsKept) {
  auto sockets = MakeConsoleSockets();
  const auto null = os::Open("/dev/null", O_RDONLY);
  const int free_before = fcntl(0, F_DUPFD_CLOEXEC, 0);
  close(free_before);
  Send(sockets->second.get(), {});
  EXPECT_TRUE(absl::IsDataLoss(ReceiveConsole(sockets->first.get(), Soon()).status()));
  Send(sockets->second.get(), {null->get(), null->get(), null->get()});
  EXPECT_TRUE(absl::IsDataLoss(ReceiveConsole(sockets->first.get(), Soon()).status()));
  const int free_after = fcntl(0, F_DUPFD_CLOEXEC, 0);
  close(free_after);
  EXPECT_EQ(free_after, free_before);
}

TEST(ConsoleTest, AnEndThatClosesIsUnavailableAndOneThatSaysNothingIsWaitedFor) {
  auto sockets = MakeConsoleSockets();
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      ReceiveConsole(sockets->first.get(), Deadline::After(absl::Milliseconds(1))).status()));
  sockets->second.reset();
  EXPECT_TRUE(absl::IsUnavailable(ReceiveConsole(sockets->first.get(), Soon()).status()));
}

TEST(ConsoleTest, ASocketIsReachedBehindAPathOfAnyLength) {
  const os::TestDir dir;
  const std::string deep = dir.path() + "/" + std::string(120, 'd');
  ASSERT_TRUE(os::MakeDirs(deep, 0755).ok());
  const auto deep_fd = os::Open(deep, O_PATH | O_DIRECTORY);
  const os::UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string through = absl::StrCat("/proc/self/fd/", deep_fd->get(), "/s");
  memcpy(address.sun_path, through.c_str(), through.size() + 1);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  const auto connected = ConnectConsole(deep + "/s");
  EXPECT_TRUE(connected.ok()) << connected.status();
  const absl::Status absent = ConnectConsole(deep + "/none").status();
  EXPECT_FALSE(absent.ok());
  EXPECT_NE(std::string(absent.message()).find("/none"), std::string::npos) << absent;
}

TEST(ConsoleTest, SizeOfATerminalIsSetAndRead) {
  int master = -1;
  int slave = -1;
  ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  const os::UniqueFd owned_master(master);
  const os::UniqueFd owned_slave(slave);
  ASSERT_TRUE(SetWindowSize(master, {7, 9}).ok());
  const auto size = GetWindowSize(slave);
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(size->rows, 7);
  EXPECT_EQ(size->columns, 9);
  const auto null = os::Open("/dev/null", O_RDONLY);
  EXPECT_FALSE(SetWindowSize(null->get(), {7, 9}).ok());
}

}  // namespace
}  // namespace berth::shim
