// LogWriter: a container's output as the kubelet reads it (CRI log format), one record a line:
//   2026-11-23T22:34:12.123456789Z stdout F text
// A line of more than 16 KiB becomes records with tag P and one F. A last line that the container
// never ended is written with tag P: joined, the texts are byte for byte what it wrote.
// What the log has no room for is dropped in whole records and counted; the container never waits:
//   - a log that cannot be written (full disk, I/O error),
//   - a file at its limit, until it is reopened or made shorter,
//   - output beyond the rate: from the record that is too much on, for a second.
// A record of ours says so in the stream that lost something, as soon as there is room:
//   2026-11-23T22:34:13.123456789Z stdout F [berth: 12 lines, 345 bytes dropped: log rate limit]
// Single-threaded; static buffers; part of the monitor: no Abseil, no heap.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "shim/monitor/state.h"

namespace berth::shim::monitor {

enum class Stream : uint8_t { kStdout = 0, kStderr = 1 };

constexpr size_t kMaxLogText = 16 << 10;  // of one record
constexpr size_t kReadChunk = 64 << 10;   // the default capacity of a pipe
constexpr size_t kRecordHeader = 40;      // timestamp, stream and tag, with their blanks
constexpr size_t kPage = 4096;

enum class DropReason : uint8_t { kRate = 0, kSize = 1, kWrite = 2 };
constexpr int kDropReasons = 3;

class LogWriter {
 public:
  void SetLimits(const LogLimits& limits);
  // Takes the fd; -1: everything is read and dropped without being counted.
  void Open(int log_fd);

  enum class Pumped { kData, kEmpty, kEnd };
  // One read from the pipe. At its end the unfinished line is written and kEnd returned.
  Pumped Pump(Stream stream, int pipe_fd);
  // Writes an unfinished line, and what was dropped: the pipe is given up.
  void Flush(Stream stream);

  // Later records go to `log_fd`, which is taken. Records are written whole, so none is torn.
  void Reopen(int log_fd);

  // Says what was dropped, where the log has room for it now.
  void ReportDrops();

  // Gives the pages of the buffers back to the kernel; unfinished lines stay.
  void ReleaseMemory();

  uint64_t bytes_written() const { return bytes_written_; }
  uint64_t lines_dropped() const { return lines_dropped_; }
  uint64_t bytes_dropped() const { return bytes_dropped_; }  // of text

  // Nanoseconds of a monotonic clock; null: the kernel's.
  void SetClock(int64_t (*now)()) { clock_ = now; }

 private:
  struct Dropped {
    uint64_t lines;
    uint64_t bytes;
  };

  void TakeLines(Stream stream, size_t scan_from);
  void Append(Stream stream, char tag, const char* text, size_t size);
  bool Admit(size_t record_size, DropReason* reason);
  void WriteOut(Stream stream);
  size_t WriteRecords(const char* data, size_t size);
  void TakeBack(size_t torn);
  void Drop(Stream stream, DropReason reason, uint64_t lines, uint64_t bytes);
  void LookAtLimits();
  bool ReportDropsOf(Stream stream);
  void TellFull(Stream stream);
  size_t PutHeader(char* out, Stream stream, char tag) const;
  void StampTime();
  int64_t Now() const;

  alignas(kPage) char in_[2][kMaxLogText + kPage + kReadChunk];
  alignas(kPage) char out_[kReadChunk];
  size_t pending_[2];  // bytes of an unfinished line at the start of in_
  size_t out_size_;
  uint64_t bytes_written_;
  uint64_t lines_dropped_;
  uint64_t bytes_dropped_;
  Dropped dropped_[2][kDropReasons];  // not reported yet
  int write_error_;                   // errno of the last write that failed
  LogLimits limits_;
  uint64_t file_size_;
  int64_t tokens_;         // bytes that the rate allows now
  int64_t filled_at_;      // when tokens_ was counted; 0: never
  int64_t limited_until_;  // by the rate; 0: not limited
  bool full_;              // the file is at its limit
  bool told_full_;
  int64_t (*clock_)();
  int log_fd_plus_1_;  // so that zeroed memory means "none"
  bool torn_;          // the file ends in the middle of a record
  char stamp_[32];
};

// "2026-11-23T22:34:12.123456789Z", 30 characters, not terminated.
constexpr size_t kStampSize = 30;
void FormatTime(const timespec& t, char* out);

}  // namespace berth::shim::monitor
