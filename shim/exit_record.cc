#include "shim/exit_record.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace berth::shim {
namespace {

// The fields in their order; each line is the name, a blank and the value.
constexpr const char* kNames[] = {"berth-exit", "boot_id",     "exit_code",
                                  "signal",     "finished_at", "oom_killed"};
constexpr size_t kFields = sizeof kNames / sizeof *kNames;

absl::Status Malformed(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("parse exit record: ", what));
}

absl::StatusOr<int64_t> Number(const std::string& text, absl::string_view name, int64_t max) {
  int64_t value = 0;
  // SimpleAtoi takes blanks, signs and leading zeros; the writer puts none.
  if (!absl::SimpleAtoi(text, &value) || absl::StrCat(value) != text || value < 0 || value > max) {
    return Malformed(absl::StrCat("bad ", name));
  }
  return value;
}

bool IsBootId(absl::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const char c = text[i];
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (dash ? c != '-' : !hex) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<StoredExit> ParseExitRecord(absl::string_view text) {
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (lines.size() != kFields + 2 || lines[kFields] != "end" || !lines[kFields + 1].empty()) {
    return Malformed("wrong number of lines");
  }
  std::string values[kFields];
  for (size_t i = 0; i < kFields; ++i) {
    const std::pair<std::string, std::string> field =
        absl::StrSplit(lines[i], absl::MaxSplits(' ', 1));
    if (field.first != kNames[i]) return Malformed(absl::StrCat("no ", kNames[i]));
    values[i] = field.second;
  }
  // Version 1, of shims that 0.1.0 started, does not know at whose limit something was killed.
  const bool first_version = values[0] == "1";
  if (!first_version && values[0] != "2") return Malformed("unknown version");
  if (!IsBootId(values[1])) return Malformed("bad boot_id");
  StoredExit stored{values[1], {}};
  ASSIGN_OR_RETURN(const int64_t code, Number(values[2], kNames[2], 255));
  ASSIGN_OR_RETURN(const int64_t signal, Number(values[3], kNames[3], 64));
  ASSIGN_OR_RETURN(stored.exit.finished_at, Number(values[4], kNames[4], INT64_MAX));
  ASSIGN_OR_RETURN(
      const int64_t oom,
      Number(values[5], kNames[5], first_version ? 1 : static_cast<int64_t>(OomLevel::kNode)));
  if (signal != 0 && code != 128 + signal) return Malformed("code and signal do not agree");
  stored.exit.exit_code = static_cast<int>(code);
  stored.exit.signal = static_cast<int>(signal);
  stored.exit.oom = first_version && oom == 1 ? OomLevel::kUnknown : static_cast<OomLevel>(oom);
  return stored;
}

}  // namespace berth::shim
