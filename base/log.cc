#include "base/log.h"

#include <atomic>
#include <cstdio>

namespace berth {
namespace {

std::atomic<LogSink*> g_sink{nullptr};

constexpr const char* kNames[] = {"debug", "info", "warning", "error"};

}  // namespace

void SetLogSink(LogSink* sink) { g_sink.store(sink, std::memory_order_release); }

void Log(LogLevel level, absl::string_view message, std::initializer_list<LogField> fields) {
  if (LogSink* sink = g_sink.load(std::memory_order_acquire); sink != nullptr) {
    sink->Write(level, message, fields.begin(), fields.size());
    return;
  }
  std::string line = absl::StrCat(kNames[static_cast<int>(level)], " ", message);
  for (const LogField& f : fields) absl::StrAppend(&line, " ", f.key, "=", f.value);
  line.push_back('\n');
  (void)fwrite(line.data(), 1, line.size(), stderr);  // nowhere left to report a failure to
}

}  // namespace berth
