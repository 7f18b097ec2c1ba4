#include "server/log_format.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace berth::server {
namespace {

// Bytes of a well-formed UTF-8 sequence at the front of `text`, 0 when there is none.
size_t Utf8Length(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const size_t length = lead < 0x80   ? 1
                        : lead < 0xc2 ? 0
                        : lead < 0xe0 ? 2
                        : lead < 0xf0 ? 3
                        : lead < 0xf5 ? 4
                                      : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (lead == 0xe0 && byte(1) < 0xa0) return 0;  // overlong
  if (lead == 0xed && byte(1) > 0x9f) return 0;  // surrogate
  if (lead == 0xf0 && byte(1) < 0x90) return 0;  // overlong
  if (lead == 0xf4 && byte(1) > 0x8f) return 0;  // above U+10FFFF
  return length;
}

bool IsC1Control(absl::string_view sequence) {
  return sequence.size() == 2 && sequence[0] == '\xc2' &&
         static_cast<unsigned char>(sequence[1]) < 0xa0;
}

// A quoted string that is both valid JSON and safe on a terminal. A byte that is not UTF-8 becomes
// U+FFFD.
void AppendQuoted(absl::string_view text, std::string* out) {
  out->push_back('"');
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const absl::string_view sequence = text.substr(0, length == 0 ? 1 : length);
    text.remove_prefix(sequence.size());
    const auto c = static_cast<unsigned char>(sequence[0]);
    if (length == 0) {
      out->append("\\ufffd");
    } else if (c == '"' || c == '\\') {
      absl::StrAppend(out, "\\", sequence);
    } else if (c == '\n') {
      out->append("\\n");
    } else if (c == '\t') {
      out->append("\\t");
    } else if (c < 0x20 || c == 0x7f) {
      absl::StrAppendFormat(out, "\\u%04x", c);
    } else if (IsC1Control(sequence)) {
      absl::StrAppendFormat(out, "\\u00%02x", static_cast<unsigned char>(sequence[1]));
    } else {
      out->append(sequence.data(), sequence.size());
    }
  }
  out->push_back('"');
}

bool NeedsQuotes(absl::string_view text) {
  if (text.empty()) return true;
  for (const char c : text) {
    if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\') return true;
  }
  return false;
}

void AppendPair(absl::string_view key, absl::string_view value, std::string* out) {
  if (value.empty()) return;
  absl::StrAppend(out, " ", key, "=");
  if (NeedsQuotes(value)) {
    AppendQuoted(value, out);
  } else {
    absl::StrAppend(out, value);
  }
}

void AppendMember(absl::string_view key, absl::string_view value, std::string* out) {
  if (value.empty()) return;
  out->push_back(out->empty() ? '{' : ',');
  AppendQuoted(key, out);
  out->push_back(':');
  AppendQuoted(value, out);
}

}  // namespace

absl::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

std::string FormatTime(int64_t wall_nanos) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::FromUnixNanos(wall_nanos),
                          absl::UTCTimeZone());
}

std::string FormatText(int64_t wall_nanos, LogLevel level, absl::string_view message,
                       const LogField* fields, size_t count) {
  std::string out = absl::StrCat("time=", FormatTime(wall_nanos), " level=", LevelName(level));
  AppendPair("msg", message, &out);
  for (size_t i = 0; i < count; ++i) AppendPair(fields[i].key, fields[i].value, &out);
  return out;
}

std::string FormatJson(int64_t wall_nanos, LogLevel level, absl::string_view message,
                       const LogField* fields, size_t count) {
  std::string out;
  AppendMember("time", FormatTime(wall_nanos), &out);
  AppendMember("level", LevelName(level), &out);
  AppendMember("msg", message, &out);
  for (size_t i = 0; i < count; ++i) AppendMember(fields[i].key, fields[i].value, &out);
  out.push_back('}');
  return out;
}

}  // namespace berth::server
