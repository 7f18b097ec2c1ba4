// The part of a filter that looks at arguments, compiled by libseccomp. Every use of that library
// is behind this header. Thread-safe: no state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "shim/seccomp/profile.h"

namespace berth::shim::seccomp {

// One call with conditions on its arguments.
struct ArgRule {
  std::string name;
  Verdict verdict;
  std::vector<Condition> conditions;
};

// The bytes of a struct sock_filter[] that answers the default verdict where no rule matches.
absl::StatusOr<std::string> ArgFilter(const std::vector<Architecture>& architectures,
                                      Verdict default_verdict, const std::vector<ArgRule>& rules);

// "2.5.4".
std::string LibraryVersion();

}  // namespace berth::shim::seccomp
