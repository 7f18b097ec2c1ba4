#include "shim/monitor/log_writer.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/monitor/text.h"

namespace berth::shim::monitor {
namespace {

constexpr const char* kStreamName[2] = {" stdout ", " stderr "};
constexpr size_t kStreamNameSize = 8;
static_assert(kStampSize + kStreamNameSize + 2 == kRecordHeader);

void PutDigits(char* out, uint64_t value, int digits) {
  for (int i = digits - 1; i >= 0; --i, value /= 10) out[i] = static_cast<char>('0' + value % 10);
}

size_t CountLines(const char* text, size_t size) {
  size_t lines = 0;
  for (const char* p = text;
       (p = static_cast<const char*>(memchr(p, '\n', size - (p - text)))) != nullptr; ++p) {
    ++lines;
  }
  return lines;
}

constexpr int64_t kSecond = 1000000000;
// Whatever the settings say, a record must fit once in a while.
constexpr uint64_t kMinBurst = 2 * kMaxLogText;
constexpr size_t kMaxMarker = 256;

const char* NameOf(DropReason reason, int error) {
  switch (reason) {
    case DropReason::kRate:
      return "log rate limit";
    case DropReason::kSize:
      return "log size limit";
    case DropReason::kWrite:
      break;
  }
  switch (error) {
    case ENOSPC:
      return "no space left for the log";
    case EDQUOT:
      return "disk quota of the log exceeded";
    case EROFS:
      return "file system of the log is read-only";
    case EIO:
      return "input/output error of the log";
    default:
      return "the log could not be written";
  }
}

size_t PageUp(size_t n) { return (n + kPage - 1) / kPage * kPage; }

}  // namespace

// Days to a civil date, proleptic Gregorian: years are counted from March so that a leap day ends
// one, eras are 400 years. gmtime_r would bring in the time zone machinery and its heap.
void FormatTime(const timespec& t, char* out) {
  const int64_t days = t.tv_sec / 86400 + 719468;  // since 0000-03-01
  const uint64_t second = t.tv_sec % 86400;
  const int64_t era = days / 146097;
  const int64_t day_of_era = days % 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_from_march = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  const int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  memcpy(out, "0000-00-00T00:00:00.000000000Z", kStampSize);
  PutDigits(out, year, 4);
  PutDigits(out + 5, month, 2);
  PutDigits(out + 8, day, 2);
  PutDigits(out + 11, second / 3600, 2);
  PutDigits(out + 14, second / 60 % 60, 2);
  PutDigits(out + 17, second % 60, 2);
  PutDigits(out + 20, t.tv_nsec, 9);
}

void LogWriter::SetLimits(const LogLimits& limits) {
  limits_ = limits;
  if (limits_.burst_bytes < kMinBurst) limits_.burst_bytes = kMinBurst;
}

void LogWriter::Open(int log_fd) {
  if (log_fd_plus_1_ > 0) (void)close(log_fd_plus_1_ - 1);  // written data is in the page cache
  log_fd_plus_1_ = log_fd + 1;
  torn_ = false;
  full_ = false;
  told_full_ = false;
  struct stat st;
  file_size_ = log_fd >= 0 && fstat(log_fd, &st) == 0 ? static_cast<uint64_t>(st.st_size) : 0;
}

void LogWriter::Reopen(int log_fd) {
  Open(log_fd);
  ReportDrops();
}

LogWriter::Pumped LogWriter::Pump(Stream stream, int pipe_fd) {
  const int s = static_cast<int>(stream);
  const size_t had = pending_[s];
  const ssize_t n = read(pipe_fd, in_[s] + had, kReadChunk);
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Pumped::kEmpty : Pumped::kEnd;
  if (n == 0) {
    Flush(stream);
    return Pumped::kEnd;
  }
  pending_[s] = had + static_cast<size_t>(n);
  StampTime();
  LookAtLimits();
  (void)ReportDropsOf(stream);  // what cannot be said now is said later
  TakeLines(stream, had);
  WriteOut(stream);
  if (full_ && !told_full_) TellFull(stream);
  return Pumped::kData;
}

void LogWriter::Flush(Stream stream) {
  const int s = static_cast<int>(stream);
  StampTime();
  LookAtLimits();
  (void)ReportDropsOf(stream);
  if (pending_[s] != 0) {
    Append(stream, 'P', in_[s], pending_[s]);
    WriteOut(stream);
    pending_[s] = 0;
  }
  // The last word: what it takes of the limits is a line.
  full_ = false;
  limited_until_ = 0;
  (void)ReportDropsOf(stream);
}

void LogWriter::ReportDrops() {
  StampTime();
  LookAtLimits();
  (void)ReportDropsOf(Stream::kStdout);
  (void)ReportDropsOf(Stream::kStderr);
}

// The bytes before `scan_from` are known to hold no end of line.
void LogWriter::TakeLines(Stream stream, size_t scan_from) {
  const int s = static_cast<int>(stream);
  char* line = in_[s];
  char* const end = in_[s] + pending_[s];
  char* scan = in_[s] + scan_from;
  while (line < end) {
    char* newline = static_cast<char*>(memchr(scan, '\n', end - scan));
    char* const stop = newline != nullptr ? newline : end;
    while (static_cast<size_t>(stop - line) > kMaxLogText) {
      Append(stream, 'P', line, kMaxLogText);
      line += kMaxLogText;
    }
    if (newline == nullptr) break;
    Append(stream, 'F', line, stop - line);
    line = scan = newline + 1;
  }
  pending_[s] = end - line;
  if (line != in_[s]) memmove(in_[s], line, pending_[s]);
}

void LogWriter::Append(Stream stream, char tag, const char* text, size_t size) {
  const size_t record = kRecordHeader + size + 1;
  DropReason reason;
  if (!Admit(record, &reason)) return Drop(stream, reason, 1, size);
  if (out_size_ + record > sizeof out_) WriteOut(stream);
  char* p = out_ + out_size_;
  (void)PutHeader(p, stream, tag);
  memcpy(p + kRecordHeader, text, size);
  p[kRecordHeader + size] = '\n';
  out_size_ += record;
}

size_t LogWriter::PutHeader(char* out, Stream stream, char tag) const {
  memcpy(out, stamp_, kStampSize);
  memcpy(out + kStampSize, kStreamName[static_cast<int>(stream)], kStreamNameSize);
  out[kRecordHeader - 2] = tag;
  out[kRecordHeader - 1] = ' ';
  return kRecordHeader;
}

// Once a limit is reached nothing is admitted before LookAtLimits lifts it: what is missing from
// the log is missing in one piece.
bool LogWriter::Admit(size_t record_size, DropReason* reason) {
  if (log_fd_plus_1_ <= 0) return true;
  if (limits_.file_bytes != 0 && file_size_ + out_size_ + record_size > limits_.file_bytes) {
    full_ = true;
  }
  if (full_) {
    *reason = DropReason::kSize;
    return false;
  }
  if (limits_.rate_bytes == 0) return true;
  if (limited_until_ == 0 && tokens_ < static_cast<int64_t>(record_size)) {
    limited_until_ = Now() + kSecond;
  }
  if (limited_until_ != 0) {
    *reason = DropReason::kRate;
    return false;
  }
  tokens_ -= static_cast<int64_t>(record_size);
  return true;
}

void LogWriter::LookAtLimits() {
  struct stat st;
  if (full_ && log_fd_plus_1_ > 0 && fstat(log_fd_plus_1_ - 1, &st) == 0 &&
      static_cast<uint64_t>(st.st_size) < file_size_) {
    file_size_ = static_cast<uint64_t>(st.st_size);
    full_ = false;
    told_full_ = false;
  }
  if (limits_.rate_bytes == 0) return;
  const int64_t now = Now();
  const uint64_t burst = limits_.burst_bytes;
  // Longer than it takes to fill the bucket is as good as that, and cannot overflow.
  const uint64_t fill_ms = burst * 1000 / limits_.rate_bytes + 1;
  const uint64_t passed_ms = static_cast<uint64_t>(now - filled_at_) / 1000000;
  if (filled_at_ == 0 || passed_ms >= fill_ms) {
    tokens_ = static_cast<int64_t>(burst);
    filled_at_ = now;
  } else if (passed_ms > 0) {
    const uint64_t sum = static_cast<uint64_t>(tokens_) + passed_ms * limits_.rate_bytes / 1000;
    tokens_ = static_cast<int64_t>(sum < burst ? sum : burst);
    filled_at_ += static_cast<int64_t>(passed_ms) * 1000000;
  }
  if (limited_until_ != 0 && now >= limited_until_) limited_until_ = 0;
}

void LogWriter::Drop(Stream stream, DropReason reason, uint64_t lines, uint64_t bytes) {
  Dropped& dropped = dropped_[static_cast<int>(stream)][static_cast<int>(reason)];
  dropped.lines += lines;
  dropped.bytes += bytes;
  lines_dropped_ += lines;
  bytes_dropped_ += bytes;
}

// False when something could not be said.
bool LogWriter::ReportDropsOf(Stream stream) {
  if (full_ || limited_until_ != 0) return false;
  for (int reason = 0; reason < kDropReasons; ++reason) {
    Dropped& dropped = dropped_[static_cast<int>(stream)][reason];
    if (dropped.lines == 0) continue;
    char text[kMaxMarker];
    char* p = PutText(text + PutHeader(text, stream, 'F'), "[berth: ");
    p = PutNumber(p, dropped.lines);
    p = PutNumber(PutText(p, " lines, "), dropped.bytes);
    p = PutText(p, " bytes dropped: ");
    p = PutText(PutText(p, NameOf(static_cast<DropReason>(reason), write_error_)), "]\n");
    const size_t size = static_cast<size_t>(p - text);
    if (WriteRecords(text, size) != size) return false;
    dropped = Dropped{};
  }
  return true;
}

void LogWriter::TellFull(Stream stream) {
  char text[kMaxMarker];
  char* p =
      PutText(text + PutHeader(text, stream, 'F'), "[berth: the log has reached its limit of ");
  p = PutText(PutNumber(p, limits_.file_bytes), " bytes: output is dropped until it is rotated]\n");
  const size_t size = static_cast<size_t>(p - text);
  told_full_ = WriteRecords(text, size) == size;
}

// What is in out_ is of one stream: it is written out after each read.
void LogWriter::WriteOut(Stream stream) {
  const size_t size = out_size_;
  out_size_ = 0;
  if (log_fd_plus_1_ <= 0 || size == 0) return;
  const size_t done = WriteRecords(out_, size);
  if (done == size) return;
  const size_t lines = CountLines(out_ + done, size - done);
  Drop(stream, DropReason::kWrite, lines, size - done - lines * (kRecordHeader + 1));
}

// The value: bytes of whole records that are in the file.
size_t LogWriter::WriteRecords(const char* data, size_t size) {
  if (log_fd_plus_1_ <= 0) return size;
  const int fd = log_fd_plus_1_ - 1;
  if (torn_) {
    // The half record could not be taken back: end it, so that it alone is unreadable.
    if (write(fd, "\n", 1) != 1) {
      write_error_ = errno;
      return 0;
    }
    torn_ = false;
  }
  size_t done = 0;
  while (done < size) {
    const ssize_t n = write(fd, data + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      write_error_ = n < 0 ? errno : ENOSPC;
      const void* last = memrchr(data, '\n', done);
      const size_t whole = last == nullptr ? 0 : static_cast<const char*>(last) - data + 1;
      TakeBack(done - whole);
      done = whole;
      break;
    }
    done += static_cast<size_t>(n);
  }
  bytes_written_ += done;
  file_size_ += done;
  return done;
}

// The last `torn` bytes of the file are half a record.
void LogWriter::TakeBack(size_t torn) {
  if (torn == 0) return;
  const int fd = log_fd_plus_1_ - 1;
  const off_t end = lseek(fd, 0, SEEK_CUR);
  const off_t keep = end - static_cast<off_t>(torn);
  torn_ = end < 0 || keep < 0 || ftruncate(fd, keep) != 0 || lseek(fd, keep, SEEK_SET) != keep;
}

void LogWriter::StampTime() {
  timespec now;
  (void)clock_gettime(CLOCK_REALTIME, &now);  // cannot fail for this clock
  FormatTime(now, stamp_);
}

int64_t LogWriter::Now() const {
  if (clock_ != nullptr) return clock_();
  timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);  // cannot fail for this clock
  return now.tv_sec * kSecond + now.tv_nsec;
}

void LogWriter::ReleaseMemory() {
  // Advice: nothing is lost when the kernel does not take it.
  for (int s = 0; s < 2; ++s) {
    const size_t keep = PageUp(pending_[s]);
    (void)madvise(in_[s] + keep, sizeof in_[s] - keep, MADV_DONTNEED);
  }
  (void)madvise(out_, sizeof out_, MADV_DONTNEED);
}

}  // namespace berth::shim::monitor
