#include "server/logging.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "base/clock.h"
#include "server/log_format.h"

namespace berth::server {

Logging::Logging(const LogConfig& config)
    : format_(config.format),
      level_(config.level),
      logger_(std::make_unique<spdlog::logger>("berthd",
                                               std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
  logger_->set_pattern("%v");  // the line is whole already
  logger_->set_level(spdlog::level::trace);
  SetLogSink(this);
}

Logging::~Logging() { SetLogSink(nullptr); }

void Logging::Write(LogLevel level, absl::string_view message, const LogField* fields,
                    size_t count) {
  if (!Enabled(level)) return;
  const std::string line = format_ == LogFormat::kJson
                               ? FormatJson(WallNanos(), level, message, fields, count)
                               : FormatText(WallNanos(), level, message, fields, count);
  logger_->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace berth::server
