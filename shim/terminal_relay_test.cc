#include "shim/terminal_relay.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <string>

#include "base/os/file.h"
#include "shim/console.h"

namespace berth::shim {
namespace {

// Both ends of a pty that starts as a terminal does: cooked, with echo.
struct Pty {
  os::UniqueFd master;
  os::UniqueFd slave;

  Pty() {
    int m = -1;
    int s = -1;
    EXPECT_EQ(openpty(&m, &s, nullptr, nullptr, nullptr), 0);
    master.reset(m);
    slave.reset(s);
  }
};

std::string ReadSome(int fd) {
  char text[8192];
  const ssize_t n = read(fd, text, sizeof text);
  return n > 0 ? std::string(text, static_cast<size_t>(n)) : "(nothing)";
}

bool IsReadable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return poll(&p, 1, 0) > 0;
}

// Turns until `fd` has something to read.
void Turn(TerminalRelay* relay, int fd) {
  const Deadline deadline = Deadline::After(absl::Seconds(10));
  while (!IsReadable(fd)) {
    TerminalRelay::PollSet set = relay->Wanted();
    ASSERT_GT(poll(set.data(), set.size(), deadline.PollMillis()), 0) << "nothing came";
    relay->Copy(set);
  }
}

class TerminalRelayTest : public ::testing::Test {
 protected:
  TerminalRelay Open(int in, int out) {
    absl::StatusOr<TerminalRelay> relay = TerminalRelay::Open(std::move(theirs_.master), in, out);
    EXPECT_TRUE(relay.ok()) << relay.status();
    return *std::move(relay);
  }

  Pty ours_;
  Pty theirs_;
};

TEST_F(TerminalRelayTest, OursIsRawMeanwhileAndAsBeforeAfterwards) {
  termios before;
  termios meanwhile;
  termios after;
  ASSERT_EQ(tcgetattr(ours_.slave.get(), &before), 0);
  {
    const TerminalRelay relay = Open(ours_.slave.get(), ours_.slave.get());
    ASSERT_EQ(tcgetattr(ours_.slave.get(), &meanwhile), 0);
  }
  ASSERT_EQ(tcgetattr(ours_.slave.get(), &after), 0);
  EXPECT_EQ(meanwhile.c_lflag & (ICANON | ISIG | ECHO), 0U);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  EXPECT_NE(after.c_lflag & ICANON, 0U);
}

TEST_F(TerminalRelayTest, KeysAndOutputPassThrough) {
  TerminalRelay relay = Open(ours_.slave.get(), ours_.slave.get());
  ASSERT_EQ(write(ours_.master.get(), "typed\r", 6), 6);
  Turn(&relay, theirs_.slave.get());
  EXPECT_EQ(ReadSome(theirs_.slave.get()), "typed\n");
  // The echo is that of the container's terminal.
  Turn(&relay, ours_.master.get());
  EXPECT_EQ(ReadSome(ours_.master.get()), "typed\r\n");
  ASSERT_EQ(write(theirs_.slave.get(), "shown\n", 6), 6);
  Turn(&relay, ours_.master.get());
  EXPECT_EQ(ReadSome(ours_.master.get()), "shown\r\n");
}

TEST_F(TerminalRelayTest, SizeIsTakenOverAtFirstAndAtEveryResize) {
  ASSERT_TRUE(SetWindowSize(ours_.master.get(), {31, 91}).ok());
  const TerminalRelay relay = Open(ours_.slave.get(), ours_.slave.get());
  EXPECT_EQ(GetWindowSize(theirs_.slave.get())->rows, 31);
  EXPECT_EQ(GetWindowSize(theirs_.slave.get())->columns, 91);
  ASSERT_TRUE(SetWindowSize(ours_.master.get(), {32, 92}).ok());
  ASSERT_TRUE(relay.Resize().ok());
  EXPECT_EQ(GetWindowSize(theirs_.slave.get())->rows, 32);
  EXPECT_EQ(GetWindowSize(theirs_.slave.get())->columns, 92);
}

TEST_F(TerminalRelayTest, OutputToAPipeIsDrainedToItsEnd) {
  const auto null = os::Open("/dev/null", O_RDONLY);
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  const os::UniqueFd read_end(pipe_ends[0]);
  os::UniqueFd write_end(pipe_ends[1]);
  TerminalRelay relay = Open(null->get(), write_end.get());
  ASSERT_EQ(write(theirs_.slave.get(), "one\ntwo\n", 8), 8);
  theirs_.slave.reset();
  relay.Drain(Deadline::After(absl::Seconds(10)));
  write_end.reset();
  EXPECT_EQ(ReadSome(read_end.get()), "one\r\ntwo\r\n");
}

TEST_F(TerminalRelayTest, ATerminalThatIsOpenedAgainIsShownAgain) {
  const std::string path = ttyname(theirs_.slave.get());  // NOLINT(concurrency-mt-unsafe)
  TerminalRelay relay = Open(ours_.slave.get(), ours_.slave.get());
  ASSERT_EQ(write(theirs_.slave.get(), "one\n", 4), 4);
  theirs_.slave.reset();
  Turn(&relay, ours_.master.get());
  EXPECT_EQ(ReadSome(ours_.master.get()), "one\r\n");
  // The end is taken note of, and is no event for ever.
  TerminalRelay::PollSet set = relay.Wanted();
  for (int turns = 0; poll(set.data(), set.size(), 0) > 0; ++turns) {
    ASSERT_LT(turns, 10);
    relay.Copy(set);
    set = relay.Wanted();
  }
  const auto again = os::Open(path, O_RDWR | O_NOCTTY);
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_EQ(write(again->get(), "two\n", 4), 4);
  Turn(&relay, ours_.master.get());
  EXPECT_EQ(ReadSome(ours_.master.get()), "two\r\n");
}

TEST_F(TerminalRelayTest, WithNobodyToShowToTheContainerGoesOn) {
  const auto null = os::Open("/dev/null", O_RDONLY);
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  os::UniqueFd read_end(pipe_ends[0]);
  const os::UniqueFd write_end(pipe_ends[1]);
  TerminalRelay relay = Open(null->get(), write_end.get());
  read_end.reset();
  const auto ignored = signal(SIGPIPE, SIG_IGN);
  ASSERT_EQ(write(theirs_.slave.get(), "one\n", 4), 4);
  theirs_.slave.reset();
  relay.Drain(Deadline::After(absl::Seconds(10)));  // and comes back
  EXPECT_EQ(relay.Wanted()[2].events, POLLIN);
  (void)signal(SIGPIPE, ignored);
}

}  // namespace
}  // namespace berth::shim
