// --pid-file: the number alone, put in place in one piece. Thread-safe.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"

namespace berth::shim::front {

// "" = nowhere.
absl::Status WritePidFile(const std::string& path, pid_t pid);

}  // namespace berth::shim::front
