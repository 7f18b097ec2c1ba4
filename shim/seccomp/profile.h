// A seccomp profile as typed values, the runtime's default profile, and the compiler that makes of
// a profile what seccomp(2) loads. Pure functions and values; thread-safe.
#pragma once

#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace berth::shim::seccomp {

enum class Action : uint8_t {
  kAllow,
  kLog,
  kErrno,
  kTrap,
  kKillThread,
  kKillProcess,
  kTrace,   // ENOSYS where no tracer is
  kNotify,  // whoever holds the filter's listener answers
};

struct Verdict {
  Action action = Action::kAllow;
  uint16_t data = 0;  // kErrno: the errno; kTrace: what the tracer is told

  bool HasData() const { return action == Action::kErrno || action == Action::kTrace; }
  friend bool operator==(Verdict a, Verdict b) {
    return a.action == b.action && (!a.HasData() || a.data == b.data);
  }
  friend bool operator!=(Verdict a, Verdict b) { return !(a == b); }
};

enum class Architecture : uint8_t { kX86_64, kI386, kX32, kArm64, kArm };

enum class Comparison : uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessOrEqual,
  kGreater,
  kGreaterOrEqual,
  kMaskedEqual,  // (argument & mask) == value
};

// On one argument, compared as 64 unsigned bits.
struct Condition {
  uint32_t argument = 0;  // 0..5
  Comparison comparison = Comparison::kEqual;
  uint64_t value = 0;
  uint64_t mask = 0;  // for kMaskedEqual
};

// All conditions must hold. For one call a rule without any beats those with some, and of several
// without the first one stands, as in libseccomp. Calls that go through i386's socketcall and ipc
// are judged by the rules of those two names.
struct Rule {
  std::vector<std::string> names;
  Verdict verdict;
  std::vector<Condition> conditions;  // at most one per argument
};

struct Profile {
  // For calls that no rule matches. Numbers outside SyscallTable() get ENOSYS instead where this
  // forbids, and this where it permits (kAllow, kLog) or asks somebody (kTrace, kNotify).
  Verdict default_verdict{Action::kErrno, EPERM};
  std::vector<Architecture> architectures;  // calls from any other kill the process
  std::vector<Rule> rules;
  // Not part of the program: how it is loaded, and who answers for kNotify.
  uint32_t flags = 0;  // SECCOMP_FILTER_FLAG_LOG, _SPEC_ALLOW, _WAIT_KILLABLE_RECV
  std::string listener_path;
  std::string listener_metadata;
};

// The one this program was built for, first, then those whose programs it also runs.
std::vector<Architecture> HostArchitectures();

// The runtime's default ("RuntimeDefault"): an allow-list with the same effect as the one that
// containerd 2.x ships. `bounding` has bit N set for capability number N of the process's bounding
// set: calls that are harmless without a capability, and needed with it, come with it.
Profile DefaultProfile(uint64_t bounding,
                       const std::vector<Architecture>& architectures = HostArchitectures());

// Does a rule, or the default, leave the answer to a listener?
bool AsksListener(const Profile& profile);

// A text that two profiles share exactly when their programs are the same; rules that cannot get in
// one another's way count in any order.
std::string CanonicalText(const Profile& profile);

// The bytes of a struct sock_filter[] for SECCOMP_SET_MODE_FILTER.
// InvalidArgument: a rule forbids a call that the table lacks, or has a condition that cannot be; a
// permitting rule for an unknown call is without effect, as profiles
// written for newer kernels name some. Unimplemented: conditions on a call that libseccomp cannot
// name. ResourceExhausted: more conditions than compile within a second, or more instructions than
// the kernel takes.
absl::StatusOr<std::string> Compile(const Profile& profile);

// Changes whenever Compile may make other bytes of the same profile: 16 hex digits.
const std::string& CompilerVersion();

}  // namespace berth::shim::seccomp
