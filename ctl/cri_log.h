// The CRI log format: "2026-11-23T22:54:00.123456789Z stdout F text\n", P for a part of a line that
// goes on in the next entry of the same stream. Not thread-safe.
#pragma once

#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace berth::ctl {

enum class LogStream { kStdout, kStderr };

struct LogEntry {
  absl::string_view time;
  LogStream stream = LogStream::kStdout;
  bool partial = false;
  absl::string_view text;
};

// One entry without its newline; false when it is not of that form.
bool ParseLogEntry(absl::string_view line, LogEntry* entry);

// Turns the bytes of a log into what the container wrote. An entry may arrive in pieces; one that
// does not parse is passed on as it is.
class LogDecoder {
 public:
  using Sink = std::function<void(LogStream, absl::string_view)>;
  // `timestamps`: each line begins with the time of its first entry.
  LogDecoder(Sink sink, bool timestamps) : sink_(std::move(sink)), timestamps_(timestamps) {}

  void Feed(absl::string_view bytes);

 private:
  void Entry(absl::string_view line);

  const Sink sink_;
  const bool timestamps_;
  std::string tail_;                  // of an entry whose newline has not come
  bool in_line_[2] = {false, false};  // by stream: the last entry was partial
};

}  // namespace berth::ctl
