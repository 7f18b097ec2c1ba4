// The part of a filter that looks at architecture and number alone: one binary search over ranges
// per architecture, some eight comparisons for any call. Pure functions; thread-safe.
//
// Why not libseccomp for this too: 2.5.4 knows no name after futex_wake, takes raw numbers for the
// native architecture only, and cannot answer unknown numbers and known ones differently.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "shim/seccomp/profile.h"

namespace berth::shim::seccomp {

// nullopt: the arguments decide, in the program that follows this one.
using Decision = std::optional<Verdict>;

// What one AUDIT_ARCH value's numbers get.
struct NumberMap {
  uint32_t audit_arch = 0;
  std::map<uint32_t, Decision> known;
  Verdict otherwise;  // for every number in between and above
};

// Falls off its end for what the arguments decide. A call of an architecture not in `maps` kills
// the process.
std::vector<sock_filter> NumberFilter(const std::vector<NumberMap>& maps);

// The value that the kernel takes for a verdict: SECCOMP_RET_*.
uint32_t ReturnValue(Verdict verdict);

}  // namespace berth::shim::seccomp
