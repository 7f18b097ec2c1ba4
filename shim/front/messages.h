// What berth-oci tells its caller besides a command's output: lines on standard error, and in the
// file of --log in the form that engines read (runc's: {"level":...,"msg":...,"time":...}).
// Not thread-safe.
#pragma once

#include <string>

#include "base/log.h"
#include "shim/front/options.h"

namespace berth::shim::front {

class Messages : public LogSink {
 public:
  // A log that cannot be opened costs a line on standard error.
  explicit Messages(const Options& options);
  ~Messages() override;
  Messages(const Messages&) = delete;
  Messages& operator=(const Messages&) = delete;

  void Write(LogLevel level, absl::string_view message, const LogField* fields,
             size_t count) override;

 private:
  const Options options_;
};

}  // namespace berth::shim::front
