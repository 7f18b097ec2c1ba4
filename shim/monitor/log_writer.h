// LogWriter: a container's output as the kubelet reads it (CRI log format), one record a line:
//   2026-11-23T22:34:12.123456789Z stdout F text
// A line of more than 16 KiB becomes records with tag P and one F. A last line that the container
// never ended is written with tag P: joined, the texts are byte for byte what it wrote.
// A log that cannot be written (full disk) loses whole records, counted; the container never waits.
// Single-threaded; static buffers; part of the monitor: no Abseil, no heap.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <time.h>

namespace berth::shim::monitor {

enum class Stream : uint8_t { kStdout = 0, kStderr = 1 };

constexpr size_t kMaxLogText = 16 << 10;  // of one record
constexpr size_t kReadChunk = 64 << 10;   // the default capacity of a pipe
constexpr size_t kRecordHeader = 40;      // timestamp, stream and tag, with their blanks
constexpr size_t kPage = 4096;

class LogWriter {
 public:
  // Takes the fd; -1: everything is read and dropped without being counted.
  void Open(int log_fd);

  enum class Pumped { kData, kEmpty, kEnd };
  // One read from the pipe. At its end the unfinished line is written and kEnd returned.
  Pumped Pump(Stream stream, int pipe_fd);
  // Writes an unfinished line: the pipe is given up.
  void Flush(Stream stream);

  // Later records go to `log_fd`, which is taken. Records are written whole, so none is torn.
  void Reopen(int log_fd) { Open(log_fd); }

  // Gives the pages of the buffers back to the kernel; unfinished lines stay.
  void ReleaseMemory();

  uint64_t bytes_written() const { return bytes_written_; }
  uint64_t records_dropped() const { return records_dropped_; }

 private:
  void TakeLines(Stream stream, size_t scan_from);
  void Append(Stream stream, char tag, const char* text, size_t size);
  void WriteOut();
  void DropRest(const char* rest, size_t size, size_t torn);
  void StampTime();

  alignas(kPage) char in_[2][kMaxLogText + kPage + kReadChunk];
  alignas(kPage) char out_[kReadChunk];
  size_t pending_[2];  // bytes of an unfinished line at the start of in_
  size_t out_size_;
  uint64_t bytes_written_;
  uint64_t records_dropped_;
  int log_fd_plus_1_;  // so that zeroed memory means "none"
  bool torn_;          // the file ends in the middle of a record
  char stamp_[32];
};

// "2026-11-23T22:34:12.123456789Z", 30 characters, not terminated.
constexpr size_t kStampSize = 30;
void FormatTime(const timespec& t, char* out);

}  // namespace berth::shim::monitor
