#include "shim/front/messages.h"

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/os/file.h"

namespace berth::shim::front {
namespace {

const char* NameOf(LogLevel level) {
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

std::string Now() {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
}

std::string JsonLine(const char* level, const std::string& text) {
  const nlohmann::json line = {{"level", level}, {"msg", text}, {"time", Now()}};
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string TextLine(const char* level, const std::string& text) {
  const nlohmann::json quoted = text;
  return absl::StrCat("time=\"", Now(), "\" level=", level, " msg=",
                      quoted.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), "\n");
}

}  // namespace

Messages::Messages(const Options& options) : options_(options) { SetLogSink(this); }

Messages::~Messages() { SetLogSink(nullptr); }

void Messages::Write(LogLevel level, absl::string_view message, const LogField* fields,
                     size_t count) {
  if (level == LogLevel::kDebug && !options_.debug) return;
  std::string text(message);
  for (size_t i = 0; i < count; ++i)
    absl::StrAppend(&text, " ", fields[i].key, "=", fields[i].value);
  // Nobody is there to be told that standard error is closed or the log's disk full.
  (void)os::WriteAll(STDERR_FILENO, absl::StrCat("berth-oci: ", NameOf(level), ": ", text, "\n"));
  if (options_.log.empty()) return;
  const absl::StatusOr<os::UniqueFd> log =
      os::Open(options_.log, O_WRONLY | O_APPEND | O_CREAT, 0644);
  const absl::Status written =
      log.ok() ? os::WriteAll(log->get(), options_.log_format == LogFormat::kJson
                                              ? JsonLine(NameOf(level), text)
                                              : TextLine(NameOf(level), text))
               : log.status();
  if (written.ok()) return;
  (void)os::WriteAll(STDERR_FILENO,
                     absl::StrCat("berth-oci: warning: --log: ", written.message(), "\n"));
}

}  // namespace berth::shim::front
