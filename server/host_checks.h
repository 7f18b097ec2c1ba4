// Host checks: what this kernel and system offer, probed when asked. Nothing is changed by a probe.
// Thread-safe: no state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/os/cgroup.h"

namespace berth::server {

enum class Verdict {
  kOk,      // there
  kAbsent,  // something that `detail` names is not offered
  kFailed,  // pods will not run
};

struct HostCheck {
  std::string name;
  Verdict verdict = Verdict::kOk;
  std::string detail;
};

std::vector<HostCheck> CheckHost(const os::CgroupHost& cgroups);

struct KernelVersion {
  int major = 0;
  int minor = 0;
  friend bool operator<(KernelVersion a, KernelVersion b) {
    return a.major != b.major ? a.major < b.major : a.minor < b.minor;
  }
};
// "6.1.0-18-amd64" -> {6, 1}; {0, 0} when it does not begin so.
KernelVersion ParseKernelVersion(absl::string_view release);
std::string KernelRelease();

// FailedPrecondition names what an older kernel lacks. 5.14 is the oldest that is served.
absl::Status CheckKernel(absl::string_view release);

std::string CgroupLayoutName(os::CgroupLayout layout);
std::vector<std::string> LimitingControllers(const os::CgroupHost& cgroups);

// Effective capabilities this process lacks, of those it uses, by name.
std::vector<std::string> MissingCapabilities();
// "sealed memfd", or "detached mount" where this host refuses executable memfds.
std::string ShimSource();

}  // namespace berth::server
