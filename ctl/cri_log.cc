#include "ctl/cri_log.h"

#include "absl/strings/str_cat.h"

namespace berth::ctl {
namespace {

// The word up to the next space, which is taken off `text` with it.
bool TakeWord(absl::string_view* text, absl::string_view* word) {
  const size_t space = text->find(' ');
  if (space == absl::string_view::npos) return false;
  *word = text->substr(0, space);
  text->remove_prefix(space + 1);
  return true;
}

}  // namespace

bool ParseLogEntry(absl::string_view line, LogEntry* entry) {
  absl::string_view stream;
  absl::string_view tag;
  if (!TakeWord(&line, &entry->time) || !TakeWord(&line, &stream) || !TakeWord(&line, &tag)) {
    return false;
  }
  if (entry->time.find('T') == absl::string_view::npos) return false;
  if (stream != "stdout" && stream != "stderr") return false;
  // Tags are separated by colons; the first says whether the line is complete.
  const absl::string_view first = tag.substr(0, tag.find(':'));
  if (first != "F" && first != "P") return false;
  entry->stream = stream == "stdout" ? LogStream::kStdout : LogStream::kStderr;
  entry->partial = first == "P";
  entry->text = line;
  return true;
}

void LogDecoder::Entry(absl::string_view line) {
  LogEntry entry;
  if (!ParseLogEntry(line, &entry)) {
    sink_(LogStream::kStdout, absl::StrCat(line, "\n"));
    return;
  }
  bool& in_line = in_line_[static_cast<int>(entry.stream)];
  const bool stamp = timestamps_ && !in_line;
  in_line = entry.partial;
  sink_(entry.stream, absl::StrCat(stamp ? absl::StrCat(entry.time, " ") : "", entry.text,
                                   entry.partial ? "" : "\n"));
}

void LogDecoder::Feed(absl::string_view bytes) {
  for (size_t newline = bytes.find('\n'); newline != absl::string_view::npos;
       newline = bytes.find('\n')) {
    tail_.append(bytes.data(), newline);
    Entry(tail_);
    tail_.clear();
    bytes.remove_prefix(newline + 1);
  }
  tail_.append(bytes.data(), bytes.size());
}

}  // namespace berth::ctl
