// LogLimiter: keeps a guest or a polling client from filling the log with one kind of line.
// Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "base/mutex.h"

namespace berth::server {

class LogLimiter {
 public:
  // At most `lines` a key in each `window`.
  LogLimiter(int64_t lines, absl::Duration window) : lines_(lines), window_(window) {}

  struct Verdict {
    bool write = false;
    int64_t suppressed = 0;  // lines of this key left out since the last one written
  };
  // `now_nanos` is monotonic. Keys must come from a small fixed set.
  Verdict Admit(const std::string& key, int64_t now_nanos);

 private:
  struct Window {
    int64_t began = 0;
    int64_t written = 0;
    int64_t suppressed = 0;
  };
  const int64_t lines_;
  const absl::Duration window_;
  Mutex mu_;
  std::map<std::string, Window> windows_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth::server
