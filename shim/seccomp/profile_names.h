// The words of a profile (OCI runtime specification, config-linux.md, "Seccomp") and what they
// mean here. nullopt: no such word. Pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "shim/seccomp/profile.h"

namespace berth::shim::seccomp {

std::optional<Action> ActionNamed(absl::string_view name);          // "SCMP_ACT_ERRNO"
std::optional<Comparison> ComparisonNamed(absl::string_view name);  // "SCMP_CMP_EQ"

struct NamedArchitecture {
  std::optional<Architecture> runs;  // nullopt: programs of it run on no host of ours
};
std::optional<NamedArchitecture> ArchitectureNamed(absl::string_view name);  // "SCMP_ARCH_X86"

// "SECCOMP_FILTER_FLAG_LOG" -> the kernel's bit; 0 for what changes nothing here.
std::optional<uint32_t> FlagNamed(absl::string_view name);
const char* FlagName(uint32_t flag);

}  // namespace berth::shim::seccomp
