#include "base/rollback.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/log.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CaptureSink : public LogSink {
 public:
  CaptureSink() { SetLogSink(this); }
  ~CaptureSink() override { SetLogSink(nullptr); }
  void Write(LogLevel, absl::string_view message, const LogField* fields, size_t count) override {
    std::string line(message);
    for (size_t i = 0; i < count; ++i)
      absl::StrAppend(&line, " ", fields[i].key, "=", fields[i].value);
    lines.push_back(line);
  }
  std::vector<std::string> lines;
};

TEST(RollbackTest, UndoesNewestFirstWhenNotCommitted) {
  std::vector<int> order;
  {
    Rollback undo("test", absl::Seconds(1));
    for (int i : {1, 2, 3}) {
      undo.Add("step", [&order, i] {
        order.push_back(i);
        return absl::OkStatus();
      });
    }
  }
  EXPECT_THAT(order, ElementsAre(3, 2, 1));
}

TEST(RollbackTest, CommitKeepsEverything) {
  bool undone = false;
  {
    Rollback undo("test", absl::Seconds(1));
    undo.Add("step", [&] {
      undone = true;
      return absl::OkStatus();
    });
    std::move(undo).Commit();
  }
  EXPECT_FALSE(undone);
}

TEST(RollbackTest, AFailedStepDoesNotKeepOlderOnesFromRunningAndIsLoggedOnce) {
  CaptureSink sink;
  bool oldest_ran = false;
  {
    Rollback undo("run pod", absl::Seconds(1));
    undo.Add("oldest", [&] {
      oldest_ran = true;
      return absl::OkStatus();
    });
    undo.Add("detach", [] { return absl::UnavailableError("plugin gone"); });
    undo.Add("unpin", [] { return absl::InternalError("busy"); });
  }
  EXPECT_TRUE(oldest_ran);
  ASSERT_EQ(sink.lines.size(), 1u);
  EXPECT_THAT(sink.lines[0], HasSubstr("unpin: busy; detach: plugin gone"));
}

TEST(RollbackTest, TheDeadlineBeginsWhenUndoingBegins) {
  Rollback undo("test", absl::Hours(1));
  absl::Duration left;
  undo.Add("step", [&](Deadline deadline) {
    left = deadline.Remaining();
    return absl::OkStatus();
  });
  EXPECT_TRUE(undo.Run().ok());
  EXPECT_GT(left, absl::Minutes(59));
}

TEST(RollbackTest, RunReturnsTheFailuresAndLeavesNothingForTheDestructor) {
  CaptureSink sink;
  int runs = 0;
  {
    Rollback undo("test", absl::Seconds(1));
    undo.Add("step", [&] {
      ++runs;
      return absl::AbortedError("no");
    });
    const absl::Status status = undo.Run();
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
    EXPECT_EQ(status.message(), "step: no");
  }
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE(sink.lines.empty());
}

}  // namespace
}  // namespace berth
