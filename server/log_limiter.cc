#include "server/log_limiter.h"

#include <utility>

namespace berth::server {

LogLimiter::Verdict LogLimiter::Admit(const std::string& key, int64_t now_nanos) {
  MutexLock lock(&mu_);
  Window& window = windows_[key];
  if (window.written == 0 || now_nanos - window.began >= absl::ToInt64Nanoseconds(window_)) {
    window.began = now_nanos;
    window.written = 0;
  }
  if (window.written >= lines_) {
    ++window.suppressed;
    return {false, 0};
  }
  ++window.written;
  return {true, std::exchange(window.suppressed, 0)};
}

}  // namespace berth::server
