#include "shim/connection.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os/file.h"
#include "base/os/test_dir.h"
#include "shim/client.h"

namespace berth::shim {
namespace {

using protocol::Code;
using protocol::Op;
using protocol::Reply;

Deadline Now() { return Deadline::After(absl::ZeroDuration()); }
Deadline Soon() { return Deadline::After(absl::Seconds(10)); }

Reply WithCode(Code code) {
  Reply reply{};
  reply.version = protocol::kVersion;
  reply.op = static_cast<uint32_t>(Op::kState);
  reply.code = static_cast<int32_t>(code);
  return reply;
}

TEST(ConnectionTest, NoShimIsUnavailable) {
  os::TestDir dir;
  EXPECT_EQ(Connect(dir / "none", Soon()).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Connect(dir.path(), Soon()).status().code(), absl::StatusCode::kUnavailable);
  const Client client(dir.path());
  EXPECT_EQ(client.State(Soon()).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(client.ReadExit("x").value().has_value());
}

TEST(ConnectionTest, TornExitRecordIsDataLoss) {
  os::TestDir dir;
  const auto file = os::Open(dir / "exit", O_WRONLY | O_CREAT, 0600);
  ASSERT_TRUE(os::WriteAll(file->get(), "berth-exit 1\n").ok());
  EXPECT_EQ(Client(dir.path()).ReadExit("x").status().code(), absl::StatusCode::kDataLoss);
}

class PairTest : public ::testing::Test {
 protected:
  PairTest() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    client_.reset(ends[0]);
    shim_.reset(ends[1]);
  }
  void Say(const void* data, size_t size) {
    ASSERT_EQ(send(shim_.get(), data, size, MSG_NOSIGNAL), static_cast<ssize_t>(size));
  }
  absl::StatusCode Received() {
    return ReceiveReply(client_.get(), Op::kState, Now()).status().code();
  }
  os::UniqueFd client_, shim_;
};

TEST_F(PairTest, SilenceIsDeadlineExceededAndHangUpUnavailable) {
  EXPECT_EQ(Received(), absl::StatusCode::kDeadlineExceeded);
  shim_.reset();
  EXPECT_EQ(Received(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(SendRequest(client_.get(), MakeRequest(Op::kState), {}).code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(PairTest, OnlyAReplyOfThisProtocolToThisCallIsTaken) {
  Reply reply = WithCode(Code::kOk);
  Say(&reply, sizeof reply);
  EXPECT_EQ(Received(), absl::StatusCode::kOk);
  reply.version = 2;
  Say(&reply, sizeof reply);
  EXPECT_EQ(Received(), absl::StatusCode::kDataLoss);
  reply = WithCode(Code::kOk);
  reply.op = static_cast<uint32_t>(Op::kStart);
  Say(&reply, sizeof reply);
  EXPECT_EQ(Received(), absl::StatusCode::kDataLoss);
  reply = WithCode(Code::kOk);
  Say(&reply, sizeof reply - 1);
  EXPECT_EQ(Received(), absl::StatusCode::kDataLoss);
  char more[sizeof reply + 1] = {};
  memcpy(more, &reply, sizeof reply);
  Say(more, sizeof more);
  EXPECT_EQ(Received(), absl::StatusCode::kDataLoss);
}

TEST(StatusOfTest, EachCodeHasItsStatus) {
  EXPECT_TRUE(StatusOf(WithCode(Code::kOk)).ok());
  EXPECT_EQ(StatusOf(WithCode(Code::kBadRequest)).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(StatusOf(WithCode(Code::kWrongPhase)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatusOf(WithCode(Code::kTooMany)).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(StatusOf(WithCode(Code::kTimedOut)).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(StatusOf(WithCode(static_cast<Code>(99))).code(), absl::StatusCode::kInternal);
  Reply failed = WithCode(Code::kExecFailed);
  failed.error = EACCES;
  strcpy(failed.step, "exec");
  memset(failed.detail, 'x', sizeof failed.detail);  // no NUL: must not be read beyond
  EXPECT_EQ(StatusOf(failed).message(),
            "exec " + std::string(sizeof failed.detail, 'x') + ": Permission denied");
}

TEST(MakeArgumentsTest, MemfdIsSealedAndLaidOutAsThePageSays) {
  const auto fd = MakeArguments({"/bin/sh", ""});
  ASSERT_TRUE(fd.ok()) << fd.status();
  uint64_t words[3];
  ASSERT_EQ(pread(fd->get(), words, sizeof words, 0), static_cast<ssize_t>(sizeof words));
  EXPECT_EQ(words[0], 24U);
  EXPECT_EQ(words[1], 32U);
  EXPECT_EQ(words[2], 0U);
  char text[16] = {};
  EXPECT_EQ(pread(fd->get(), text, sizeof text, 24), 9);
  EXPECT_STREQ(text, "/bin/sh");
  EXPECT_LT(pwrite(fd->get(), "x", 1, 0), 0);
  EXPECT_NE(ftruncate(fd->get(), 0), 0);
}

TEST(MakeArgumentsTest, WhatCannotBeExecutedIsInvalid) {
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{}, std::vector<std::string>{std::string("a\0b", 3)},
        std::vector<std::string>(protocol::kMaxArguments + 1, "x"),
        std::vector<std::string>{std::string(protocol::kMaxArgumentBytes, 'x')}}) {
    EXPECT_EQ(MakeArguments(args).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace berth::shim
