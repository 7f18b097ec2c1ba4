#include "shim/seccomp/profile_names.h"

#include <linux/seccomp.h>

namespace berth::shim::seccomp {
namespace {

template <typename Value>
struct Word {
  absl::string_view name;
  Value value;
};

constexpr Word<Action> kActions[] = {
    {"SCMP_ACT_ALLOW", Action::kAllow},
    {"SCMP_ACT_LOG", Action::kLog},
    {"SCMP_ACT_ERRNO", Action::kErrno},
    {"SCMP_ACT_TRAP", Action::kTrap},
    {"SCMP_ACT_TRACE", Action::kTrace},
    {"SCMP_ACT_NOTIFY", Action::kNotify},
    {"SCMP_ACT_KILL", Action::kKillThread},
    {"SCMP_ACT_KILL_THREAD", Action::kKillThread},
    {"SCMP_ACT_KILL_PROCESS", Action::kKillProcess},
};

constexpr Word<Comparison> kComparisons[] = {
    {"SCMP_CMP_NE", Comparison::kNotEqual},           {"SCMP_CMP_LT", Comparison::kLess},
    {"SCMP_CMP_LE", Comparison::kLessOrEqual},        {"SCMP_CMP_EQ", Comparison::kEqual},
    {"SCMP_CMP_GE", Comparison::kGreaterOrEqual},     {"SCMP_CMP_GT", Comparison::kGreater},
    {"SCMP_CMP_MASKED_EQ", Comparison::kMaskedEqual},
};

constexpr Word<Architecture> kArchitectures[] = {
    {"SCMP_ARCH_X86_64", Architecture::kX86_64}, {"SCMP_ARCH_X86", Architecture::kI386},
    {"SCMP_ARCH_X32", Architecture::kX32},       {"SCMP_ARCH_AARCH64", Architecture::kArm64},
    {"SCMP_ARCH_ARM", Architecture::kArm},
};

constexpr absl::string_view kOtherArchitectures[] = {
    "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",   "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",         "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",  "SCMP_ARCH_S390",        "SCMP_ARCH_S390X",       "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",     "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K",
    "SCMP_ARCH_SH",       "SCMP_ARCH_SHEB",
};

constexpr Word<uint32_t> kFlags[] = {
    // One thread loads the filter: there are no others to bring along.
    {"SECCOMP_FILTER_FLAG_TSYNC", 0},
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
};

template <typename Value, size_t n>
std::optional<Value> Find(const Word<Value> (&words)[n], absl::string_view name) {
  for (const Word<Value>& word : words) {
    if (word.name == name) return word.value;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Action> ActionNamed(absl::string_view name) { return Find(kActions, name); }

std::optional<Comparison> ComparisonNamed(absl::string_view name) {
  return Find(kComparisons, name);
}

std::optional<NamedArchitecture> ArchitectureNamed(absl::string_view name) {
  if (const auto known = Find(kArchitectures, name)) return NamedArchitecture{known};
  for (absl::string_view other : kOtherArchitectures) {
    if (other == name) return NamedArchitecture{};
  }
  return std::nullopt;
}

std::optional<uint32_t> FlagNamed(absl::string_view name) { return Find(kFlags, name); }

const char* FlagName(uint32_t flag) {
  for (const Word<uint32_t>& word : kFlags) {
    if (word.value == flag) return word.name.data();  // of a literal, NUL-terminated
  }
  return "unknown flag";
}

}  // namespace berth::shim::seccomp
