// Logging: the sink behind base/log.h, lines to stderr through spdlog. Thread-safe.
#pragma once

#include <atomic>
#include <memory>

#include "base/log.h"
#include "server/config.h"

namespace spdlog {
class logger;
}

namespace berth::server {

class Logging final : public LogSink {
 public:
  // Installs itself. One at a time.
  explicit Logging(const LogConfig& config);
  ~Logging() override;  // takes itself out again

  void SetLevel(LogLevel level) { level_.store(level, std::memory_order_relaxed); }
  bool Enabled(LogLevel level) const { return level >= level_.load(std::memory_order_relaxed); }

  void Write(LogLevel level, absl::string_view message, const LogField* fields,
             size_t count) override;

 private:
  const LogFormat format_;
  std::atomic<LogLevel> level_;
  std::unique_ptr<spdlog::logger> logger_;
};

}  // namespace berth::server
