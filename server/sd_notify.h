// Tells a service manager how far we are (sd_notify(3)): one datagram, no library. Thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace berth::server {

// `socket` is the value of NOTIFY_SOCKET: a path, or "@name" for an abstract address. Empty: nobody
// asked, success.
absl::Status SdNotify(const std::string& socket, absl::string_view state);

}  // namespace berth::server
