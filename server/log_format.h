// One log line as text (key=value) or JSON. A line never has a raw control byte in it, whatever a
// container or an image put into a value. A field without a value is left out.
// Pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/log.h"

namespace berth::server {

absl::string_view LevelName(LogLevel level);

// "2026-11-23T22:54:00.123456Z" from nanoseconds since the epoch.
std::string FormatTime(int64_t wall_nanos);

// time=... level=info msg="container started" container=0f3c...
std::string FormatText(int64_t wall_nanos, LogLevel level, absl::string_view message,
                       const LogField* fields, size_t count);
// {"time":"...","level":"info","msg":"container started","container":"0f3c..."}
std::string FormatJson(int64_t wall_nanos, LogLevel level, absl::string_view message,
                       const LogField* fields, size_t count);

}  // namespace berth::server
