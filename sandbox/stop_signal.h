// Signals by the names that CRI and images use. Pure functions.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cri.pb.h"

namespace berth::sandbox {

namespace cri = ::runtime::v1;

// "SIGTERM", "term", "15", "SIGRTMIN+3". InvalidArgument when there is no such signal.
absl::StatusOr<int> ParseSignal(absl::string_view text);

struct StopSignal {
  cri::Signal cri = cri::SIGNAL_SIGTERM;  // as reported
  int signo = 15;
};
// The request's, else the image's StopSignal, else SIGTERM.
absl::StatusOr<StopSignal> ResolveStopSignal(cri::Signal asked, absl::string_view image);

}  // namespace berth::sandbox
