// The system calls this library knows, with their number on each architecture. It decides what a
// filter answers: a call in here that no rule names gets the profile's default action, any other
// number is one that a newer kernel brought and gets ENOSYS, so that a libc falls back.
// Immutable; thread-safe.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace berth::shim::seccomp {

struct SyscallNumbers {
  static constexpr int kAbsent = -1;
  absl::string_view name;
  int x86_64;
  int i386;
  int x32;  // without the bit that marks the ABI, kX32Bit
  int arm64;
  int arm;
};

constexpr unsigned kX32Bit = 0x40000000;

// Sorted by name.
absl::Span<const SyscallNumbers> SyscallTable();
// nullptr: in no architecture of the table.
const SyscallNumbers* FindSyscall(absl::string_view name);

}  // namespace berth::shim::seccomp
