#include "shim/monitor/log_writer.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

void LogWriter::Open(int log_fd) {
  if (log_fd_plus_1_ > 0) (void)close(log_fd_plus_1_ - 1);  // written data is in the page cache
  log_fd_plus_1_ = log_fd + 1;
  torn_ = false;
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
  TakeLines(stream, had);
  WriteOut();
  return Pumped::kData;
}

void LogWriter::Flush(Stream stream) {
  const int s = static_cast<int>(stream);
  if (pending_[s] == 0) return;
  StampTime();
  Append(stream, 'P', in_[s], pending_[s]);
  WriteOut();
  pending_[s] = 0;
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
  if (out_size_ + kRecordHeader + size + 1 > sizeof out_) WriteOut();
  char* p = out_ + out_size_;
  memcpy(p, stamp_, kStampSize);
  memcpy(p + kStampSize, kStreamName[static_cast<int>(stream)], kStreamNameSize);
  p[kRecordHeader - 2] = tag;
  p[kRecordHeader - 1] = ' ';
  memcpy(p + kRecordHeader, text, size);
  p[kRecordHeader + size] = '\n';
  out_size_ += kRecordHeader + size + 1;
}

void LogWriter::WriteOut() {
  const size_t size = out_size_;
  out_size_ = 0;
  if (log_fd_plus_1_ <= 0 || size == 0) return;
  const int fd = log_fd_plus_1_ - 1;
  if (torn_) {
    // The half record could not be taken back: end it, so that it alone is unreadable.
    if (write(fd, "\n", 1) != 1) {
      records_dropped_ += CountLines(out_, size);
      return;
    }
    torn_ = false;
  }
  size_t done = 0;
  while (done < size) {
    const ssize_t n = write(fd, out_ + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const void* last = memrchr(out_, '\n', done);
      const size_t whole = last == nullptr ? 0 : static_cast<const char*>(last) - out_ + 1;
      DropRest(out_ + whole, size - whole, done - whole);
      done = whole;
      break;
    }
    done += static_cast<size_t>(n);
  }
  bytes_written_ += done;
}

// `torn` bytes of the rest are in the file already: they are taken back.
void LogWriter::DropRest(const char* rest, size_t size, size_t torn) {
  records_dropped_ += CountLines(rest, size);
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

void LogWriter::ReleaseMemory() {
  // Advice: nothing is lost when the kernel does not take it.
  for (int s = 0; s < 2; ++s) {
    const size_t keep = PageUp(pending_[s]);
    (void)madvise(in_[s] + keep, sizeof in_[s] - keep, MADV_DONTNEED);
  }
  (void)madvise(out_, sizeof out_, MADV_DONTNEED);
}

}  // namespace berth::shim::monitor
