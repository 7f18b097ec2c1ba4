#include "shim/monitor/log_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace berth::shim::monitor {
namespace {

using ::testing::ElementsAre;

int DupCloexec(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 0); }

class LogWriterTest : public ::testing::Test {
 protected:
  LogWriterTest() : log_(NewFile()), writer_(std::make_unique<LogWriter>()) {
    // `new LogWriter()` zeroes it, as .bss does for the monitor's.
    writer_->Open(DupCloexec(log_));
    for (auto& pipe : pipes_) EXPECT_EQ(pipe2(pipe, O_CLOEXEC | O_NONBLOCK), 0);
  }
  ~LogWriterTest() override {
    writer_->Open(-1);
    close(log_);
    for (auto& pipe : pipes_) {
      close(pipe[0]);
      if (pipe[1] >= 0) close(pipe[1]);
    }
  }

  static int NewFile() { return memfd_create("log", MFD_CLOEXEC); }

  // Writes through the pipe in pieces that fit into it.
  void Say(Stream stream, const std::string& text) {
    const int* pipe = pipes_[static_cast<int>(stream)];
    for (size_t at = 0; at < text.size();) {
      const ssize_t n = write(pipe[1], text.data() + at, std::min<size_t>(text.size() - at, 65536));
      ASSERT_GT(n, 0);
      at += n;
      while (writer_->Pump(stream, pipe[0]) == LogWriter::Pumped::kData) {
      }
    }
  }
  void End(Stream stream) {
    int* pipe = pipes_[static_cast<int>(stream)];
    close(pipe[1]);
    pipe[1] = -1;
    EXPECT_EQ(writer_->Pump(stream, pipe[0]), LogWriter::Pumped::kEnd);
  }

  static std::string Content(int fd) {
    std::string text(lseek(fd, 0, SEEK_END), '\0');
    EXPECT_EQ(pread(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    return text;
  }
  // Records without their timestamps, which must have the right shape.
  static std::vector<std::string> Records(int fd) {
    std::vector<std::string> records = absl::StrSplit(Content(fd), '\n');
    EXPECT_EQ(records.back(), "");
    records.pop_back();
    for (std::string& r : records) {
      EXPECT_GE(r.size(), kRecordHeader) << r;
      EXPECT_EQ(r[10], 'T');
      EXPECT_EQ(r[19], '.');
      EXPECT_EQ(r.substr(29, 2), "Z ");
      r = r.substr(31);
    }
    return records;
  }

  int log_;
  int pipes_[2][2];
  std::unique_ptr<LogWriter> writer_;
};

TEST_F(LogWriterTest, OneLineIsOneFullRecord) {
  Say(Stream::kStdout, "hello\n");
  EXPECT_THAT(Records(log_), ElementsAre("stdout F hello"));
  EXPECT_EQ(writer_->bytes_written(), Content(log_).size());
}

TEST_F(LogWriterTest, TextsJoinToWhatWasWrittenForEveryShapeOfInput) {
  const std::string k16(kMaxLogText, 'a');
  const std::vector<std::vector<std::string>> cases = {
      {"a\nb\n"},
      {"split", " over ", "reads\n"},
      {"\n\n\n"},
      {"no end"},
      {k16 + "\n"},
      {k16 + "b\n"},
      {k16, "\n"},
      {k16},
      {k16 + k16 + k16 + "tail"},
      {std::string(200000, 'x') + "\nshort\n"},
      {std::string(1, '\0') + "binary\x80\xff\n"},
      {std::string(65536, '\n')},
      {"a\r\nb\r\n"},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    auto writer = std::make_unique<LogWriter>();
    const int log = NewFile();
    writer->Open(DupCloexec(log));
    int pipe[2];
    ASSERT_EQ(pipe2(pipe, O_CLOEXEC | O_NONBLOCK), 0);
    std::string said;
    for (const std::string& piece : cases[i]) {
      said += piece;
      for (size_t at = 0; at < piece.size();) {
        const ssize_t n = write(pipe[1], piece.data() + at, piece.size() - at);
        ASSERT_GT(n, 0);
        at += n;
        (void)writer->Pump(Stream::kStdout, pipe[0]);
      }
    }
    close(pipe[1]);
    while (writer->Pump(Stream::kStdout, pipe[0]) != LogWriter::Pumped::kEnd) {
    }
    close(pipe[0]);
    std::string joined;
    for (const std::string& r : Records(log)) {
      ASSERT_EQ(r.substr(0, 7), "stdout ") << "case " << i;
      const std::string text = r.substr(9);
      EXPECT_LE(text.size(), kMaxLogText) << "case " << i;
      joined += text + (r[7] == 'F' ? "\n" : "");
    }
    EXPECT_TRUE(joined == said) << "case " << i;
    writer->Open(-1);
    close(log);
  }
}

TEST_F(LogWriterTest, LineOfExactlySixteenKibIsOneRecordAndOneByteMoreIsTwo) {
  const std::string k16(kMaxLogText, 'a');
  Say(Stream::kStdout, k16 + "\n" + k16 + "b\n");
  EXPECT_THAT(Records(log_), ElementsAre("stdout F " + k16, "stdout P " + k16, "stdout F b"));
}

TEST_F(LogWriterTest, UnfinishedLineWaitsAndIsPartialAtTheEnd) {
  Say(Stream::kStdout, "one\ntwo");
  EXPECT_THAT(Records(log_), ElementsAre("stdout F one"));
  End(Stream::kStdout);
  EXPECT_THAT(Records(log_), ElementsAre("stdout F one", "stdout P two"));
}

TEST_F(LogWriterTest, UnfinishedLinesOfBothStreamsDoNotMix) {
  Say(Stream::kStdout, "out-");
  Say(Stream::kStderr, "err-");
  Say(Stream::kStdout, "1\n");
  Say(Stream::kStderr, "2\n");
  EXPECT_THAT(Records(log_), ElementsAre("stdout F out-1", "stderr F err-2"));
}

TEST_F(LogWriterTest, ReopenInTheMiddleOfALineTearsNothing) {
  const int second = NewFile();
  Say(Stream::kStdout, "first\nsec");
  writer_->Reopen(DupCloexec(second));
  Say(Stream::kStdout, "ond\n");
  EXPECT_THAT(Records(log_), ElementsAre("stdout F first"));
  EXPECT_THAT(Records(second), ElementsAre("stdout F second"));
  close(second);
}

TEST_F(LogWriterTest, ReleasedMemoryKeepsAnUnfinishedLine) {
  const std::string text(10000, 'k');
  Say(Stream::kStdout, "a\n" + text);
  writer_->ReleaseMemory();
  Say(Stream::kStdout, "!\n");
  EXPECT_THAT(Records(log_), ElementsAre("stdout F a", "stdout F " + text + "!"));
}

TEST_F(LogWriterTest, FullDiskDropsWholeRecordsCountsAndReportsThem) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  writer_->Reopen(full);
  Say(Stream::kStdout, "a\nb\nccc\n");
  EXPECT_EQ(writer_->lines_dropped(), 3U);
  EXPECT_EQ(writer_->bytes_dropped(), 5U);
  writer_->Reopen(DupCloexec(log_));
  Say(Stream::kStdout, "d\n");
  EXPECT_THAT(Records(log_),
              ElementsAre("stdout F [berth: 3 lines, 5 bytes dropped: no space left for the log]",
                          "stdout F d"));
  EXPECT_EQ(writer_->lines_dropped(), 3U);
}

TEST_F(LogWriterTest, WhatEachStreamLostIsReportedInThatStream) {
  writer_->Reopen(open("/dev/full", O_WRONLY | O_CLOEXEC));
  Say(Stream::kStderr, "lost\n");
  writer_->Reopen(DupCloexec(log_));
  Say(Stream::kStdout, "out\n");
  EXPECT_THAT(Records(log_),
              ElementsAre("stderr F [berth: 1 lines, 4 bytes dropped: no space left for the log]",
                          "stdout F out"));
}

class LogLimitTest : public LogWriterTest {
 protected:
  LogLimitTest() {
    g_now = 1000 * kSecond;
    writer_->SetClock([] { return g_now; });
  }
  static constexpr int64_t kSecond = 1000000000;
  static int64_t g_now;
};
int64_t LogLimitTest::g_now = 0;

TEST_F(LogLimitTest, AFileAtItsLimitTakesNoMoreUntilItIsReopened) {
  writer_->SetLimits({4096, 0, 0});
  const std::string line(100, 'x');
  for (int i = 0; i < 100; ++i) Say(Stream::kStdout, line + "\n");
  std::vector<std::string> records = Records(log_);
  const size_t fit = 4096 / (kRecordHeader + line.size() + 1);
  ASSERT_EQ(records.size(), fit + 1);
  EXPECT_EQ(records.back(),
            "stdout F [berth: the log has reached its limit of 4096 bytes: output is dropped "
            "until it is rotated]");
  Say(Stream::kStderr, "small\n");
  EXPECT_EQ(writer_->lines_dropped(), 101 - fit);
  const int second = NewFile();
  writer_->Reopen(DupCloexec(second));
  Say(Stream::kStdout, "on\n");
  EXPECT_THAT(
      Records(second),
      ElementsAre(absl::StrCat("stdout F [berth: ", 100 - fit, " lines, ", (100 - fit) * 100,
                               " bytes dropped: log size limit]"),
                  "stderr F [berth: 1 lines, 5 bytes dropped: log size limit]", "stdout F on"));
  close(second);
}

TEST_F(LogLimitTest, WhatTheFileHoldsAlreadyCountsAndATruncationMakesRoom) {
  char name[] = "/tmp/berth-log-XXXXXX";
  const int file = mkostemp(name, O_APPEND | O_CLOEXEC);
  ASSERT_GE(file, 0);
  ASSERT_EQ(unlink(name), 0);
  ASSERT_EQ(ftruncate(file, 4000), 0);
  writer_->SetLimits({4096, 0, 0});
  writer_->Reopen(DupCloexec(file));
  Say(Stream::kStdout, std::string(100, 'x') + "\n");
  EXPECT_EQ(writer_->lines_dropped(), 1U);
  ASSERT_EQ(ftruncate(file, 0), 0);
  Say(Stream::kStdout, "fits\n");
  EXPECT_THAT(
      Records(file),
      ElementsAre("stdout F [berth: 1 lines, 100 bytes dropped: log size limit]", "stdout F fits"));
  close(file);
}

TEST_F(LogLimitTest, BeyondTheRateEverythingIsDroppedForASecondAndThenItGoesOn) {
  writer_->SetLimits({0, 100 << 10, 64 << 10});
  const std::string line(1000, 'x');
  const size_t fit = (64 << 10) / (kRecordHeader + line.size() + 1);
  for (size_t i = 0; i < fit + 10; ++i) Say(Stream::kStdout, line + "\n");
  Say(Stream::kStderr, "small\n");
  EXPECT_EQ(Records(log_).size(), fit);
  EXPECT_EQ(writer_->lines_dropped(), 11U);
  g_now += kSecond - 1;
  Say(Stream::kStdout, "still not\n");
  EXPECT_EQ(writer_->lines_dropped(), 12U);
  g_now += 1;
  Say(Stream::kStdout, "again\n");
  const std::vector<std::string> records = Records(log_);
  ASSERT_EQ(records.size(), fit + 2);
  EXPECT_EQ(records[fit], "stdout F [berth: 11 lines, 10009 bytes dropped: log rate limit]");
  EXPECT_EQ(records[fit + 1], "stdout F again");
  // The quiet container: what it lost is said when it is idle.
  writer_->ReportDrops();
  EXPECT_EQ(Records(log_).back(), "stderr F [berth: 1 lines, 5 bytes dropped: log rate limit]");
}

TEST_F(LogLimitTest, OverAMinuteTheRateIsWhatComesThrough) {
  writer_->SetLimits({0, 10 << 10, 64 << 10});
  const std::string line(1000, 'x');
  for (int i = 0; i < 6000; ++i) {
    Say(Stream::kStdout, line + "\n");
    g_now += kSecond / 100;
  }
  EXPECT_LE(writer_->bytes_written(), (64U + 60 * 10 + 16) << 10);
  EXPECT_GE(writer_->bytes_written(), (60U * 10 - 32) << 10);
}

TEST_F(LogLimitTest, TheEndOfAStreamReportsWhatIsStillMissing) {
  writer_->SetLimits({200, 0, 0});
  Say(Stream::kStdout, std::string(300, 'x') + "\nrest");
  End(Stream::kStdout);
  EXPECT_THAT(Records(log_),
              ElementsAre("stdout F [berth: the log has reached its limit of 200 bytes: output is "
                          "dropped until it is rotated]",
                          "stdout F [berth: 2 lines, 304 bytes dropped: log size limit]"));
}

// RLIMIT_FSIZE gives what a disk does that fills up in the middle of a record: a short write.
TEST_F(LogWriterTest, ShortWriteLeavesNoTornRecord) {
  char name[] = "/tmp/berth-log-XXXXXX";
  const int file = mkostemp(name, O_APPEND | O_CLOEXEC);
  ASSERT_GE(file, 0);
  ASSERT_EQ(unlink(name), 0);
  writer_->Reopen(DupCloexec(file));
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  (void)signal(SIGXFSZ, SIG_IGN);
  const rlimit small{100, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  Say(Stream::kStdout, "fits\nis torn by the limit of one hundred bytes\nlast\n");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  (void)signal(SIGXFSZ, SIG_DFL);
  EXPECT_EQ(writer_->lines_dropped(), 2U);
  Say(Stream::kStdout, "again\n");
  EXPECT_THAT(
      Records(file),
      ElementsAre("stdout F fits",
                  "stdout F [berth: 2 lines, 45 bytes dropped: the log could not be written]",
                  "stdout F again"));
  EXPECT_EQ(writer_->bytes_written(), Content(file).size());
  close(file);
}

TEST_F(LogWriterTest, WithoutALogEverythingIsReadAndNothingCounts) {
  writer_->Open(-1);
  Say(Stream::kStderr, std::string(100000, 'x') + "\n");
  EXPECT_EQ(writer_->lines_dropped(), 0U);
  EXPECT_EQ(writer_->bytes_written(), 0U);
}

TEST(FormatTimeTest, WritesRfc3339WithNineDigits) {
  const std::map<std::string, timespec> cases = {
      {"1970-01-01T00:00:00.000000000Z", {0, 0}},
      {"2026-11-23T22:34:12.123456789Z", {1795473252, 123456789}},
      {"2000-02-29T23:59:59.000000001Z", {951868799, 1}},
      {"2100-03-01T00:00:00.999999999Z", {4107542400, 999999999}},
      {"2024-12-31T12:00:00.500000000Z", {1735646400, 500000000}},
  };
  for (const auto& [text, time] : cases) {
    char out[kStampSize];
    FormatTime(time, out);
    EXPECT_EQ(std::string(out, kStampSize), text);
  }
}

}  // namespace
}  // namespace berth::shim::monitor
