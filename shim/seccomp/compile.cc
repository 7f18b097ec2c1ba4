#include <linux/audit.h>
#include <linux/filter.h>
#include <openssl/sha.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "shim/seccomp/arg_filter.h"
#include "shim/seccomp/number_filter.h"
#include "shim/seccomp/profile.h"
#include "shim/seccomp/syscall_table.h"

namespace berth::shim::seccomp {
namespace {

// To be raised when this file or the two filters make other programs of the same profile.
constexpr int kEmitterVersion = 2;

// libseccomp's time grows faster than the square of these: 1,800 took half a minute, these half a
// second. Profiles in use have a few dozen.
constexpr size_t kMaxConditions = 384;

// A call's number as seccomp_data has it, SyscallNumbers::kAbsent when it has none.
int64_t Number(const SyscallNumbers& row, Architecture architecture) {
  switch (architecture) {
    case Architecture::kX86_64:
      return row.x86_64;
    case Architecture::kI386:
      return row.i386;
    case Architecture::kX32:
      return row.x32 == SyscallNumbers::kAbsent ? row.x32 : int64_t{kX32Bit} + row.x32;
    case Architecture::kArm64:
      return row.arm64;
    case Architecture::kArm:
      return row.arm;
  }
  return SyscallNumbers::kAbsent;
}

uint32_t AuditArch(Architecture architecture) {
  switch (architecture) {
    case Architecture::kX86_64:
    case Architecture::kX32:
      return AUDIT_ARCH_X86_64;
    case Architecture::kI386:
      return AUDIT_ARCH_I386;
    case Architecture::kArm64:
      return AUDIT_ARCH_AARCH64;
    case Architecture::kArm:
      return AUDIT_ARCH_ARM;
  }
  return 0;
}

bool Permits(Verdict verdict) {
  return verdict.action == Action::kAllow || verdict.action == Action::kLog;
}

// What a number that no name stands for gets. Who answers in a program's stead knows better than
// this table what to say to a call of a newer kernel.
Verdict ForUnknown(Verdict default_verdict) {
  const bool asks =
      default_verdict.action == Action::kTrace || default_verdict.action == Action::kNotify;
  return Permits(default_verdict) || asks ? default_verdict : Verdict{Action::kErrno, ENOSYS};
}

// A profile taken apart: what a name gets, and the rules that need libseccomp.
struct Decisions {
  std::map<absl::string_view, Decision> by_name;  // keys are the table's
  std::vector<ArgRule> argument_rules;
};

absl::Status CheckConditions(const std::string& name, const std::vector<Condition>& conditions) {
  std::set<uint32_t> seen;
  for (const Condition& condition : conditions) {
    if (condition.argument > 5) {
      return absl::InvalidArgumentError(absl::StrCat("condition on argument ", condition.argument,
                                                     " of \"", name, "\": a call has 0 to 5"));
    }
    if (!seen.insert(condition.argument).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "two conditions on argument ", condition.argument, " of \"", name, "\" in one rule"));
    }
  }
  return absl::OkStatus();
}

void AddUnconditional(const SyscallNumbers& row, Verdict verdict, Decisions* decisions) {
  Decision& decision = decisions->by_name[row.name];
  if (!decision) decision = verdict;  // new, or was waiting for its arguments
}

absl::Status AddRule(const Rule& rule, const std::string& name, bool default_permits,
                     Decisions* decisions) {
  const SyscallNumbers* row = FindSyscall(name);
  if (row == nullptr) {
    if (!default_permits || Permits(rule.verdict)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("rule forbids \"", name, "\", which is not a system call known here"));
  }
  if (rule.conditions.empty()) {
    AddUnconditional(*row, rule.verdict, decisions);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(CheckConditions(name, rule.conditions));
  decisions->by_name.try_emplace(row->name, std::nullopt);
  decisions->argument_rules.push_back({name, rule.verdict, rule.conditions});
  return absl::OkStatus();
}

absl::Status CheckSize(const std::vector<ArgRule>& rules) {
  size_t conditions = 0;
  for (const ArgRule& rule : rules) conditions += rule.conditions.size();
  if (conditions <= kMaxConditions) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(conditions, " conditions on arguments, at most ", kMaxConditions));
}

absl::StatusOr<Decisions> Decide(const Profile& profile) {
  Decisions decisions;
  for (const Rule& rule : profile.rules) {
    for (const std::string& name : rule.names) {
      RETURN_IF_ERROR(AddRule(rule, name, Permits(profile.default_verdict), &decisions));
    }
  }
  auto& rules = decisions.argument_rules;
  rules.erase(std::remove_if(
                  rules.begin(), rules.end(),
                  [&](const ArgRule& rule) { return decisions.by_name.at(rule.name).has_value(); }),
              rules.end());
  return decisions;
}

// One map per AUDIT_ARCH value: x86_64 and x32 share theirs, apart by kX32Bit.
std::vector<NumberMap> Numbers(const Profile& profile, const Decisions& decisions) {
  std::vector<NumberMap> maps;
  for (const Architecture architecture : profile.architectures) {
    const uint32_t audit_arch = AuditArch(architecture);
    auto map = std::find_if(maps.begin(), maps.end(), [audit_arch](const NumberMap& m) {
      return m.audit_arch == audit_arch;
    });
    if (map == maps.end()) {
      map = maps.insert(maps.end(), NumberMap{audit_arch, {}, ForUnknown(profile.default_verdict)});
    }
    for (const SyscallNumbers& row : SyscallTable()) {
      const int64_t number = Number(row, architecture);
      if (number < 0) continue;
      const auto decision = decisions.by_name.find(row.name);
      map->known[static_cast<uint32_t>(number)] =
          decision == decisions.by_name.end() ? profile.default_verdict : decision->second;
    }
  }
  return maps;
}

std::string Sha256Hex(absl::string_view data) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(data.data()), data.size(), digest);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof digest));
}

std::string VerdictText(Verdict verdict) {
  return absl::StrCat(static_cast<int>(verdict.action),
                      verdict.HasData() ? absl::StrCat(":", verdict.data) : "");
}

}  // namespace

std::vector<Architecture> HostArchitectures() {
#if defined(__x86_64__)
  return {Architecture::kX86_64, Architecture::kI386, Architecture::kX32};
#elif defined(__aarch64__)
  return {Architecture::kArm64, Architecture::kArm};
#else
#error "no system call table for this architecture"
#endif
}

absl::StatusOr<std::string> Compile(const Profile& profile) {
  if (profile.architectures.empty()) {
    return absl::InvalidArgumentError("seccomp profile: no architecture");
  }
  ASSIGN_OR_RETURN_CTX(const Decisions decisions, Decide(profile), "seccomp profile");
  RETURN_IF_ERROR_CTX(CheckSize(decisions.argument_rules), "seccomp profile");
  const std::vector<sock_filter> numbers = NumberFilter(Numbers(profile, decisions));
  std::string program(reinterpret_cast<const char*>(numbers.data()),
                      numbers.size() * sizeof(sock_filter));
  if (!decisions.argument_rules.empty()) {
    ASSIGN_OR_RETURN_CTX(
        const std::string arguments,
        ArgFilter(profile.architectures, profile.default_verdict, decisions.argument_rules),
        "seccomp profile");
    program += arguments;
  }
  if (program.size() > BPF_MAXINSNS * sizeof(sock_filter)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("seccomp profile: ", program.size() / sizeof(sock_filter),
                     " instructions, the kernel takes ", BPF_MAXINSNS));
  }
  return program;
}

bool AsksListener(const Profile& profile) {
  return profile.default_verdict.action == Action::kNotify ||
         std::any_of(profile.rules.begin(), profile.rules.end(),
                     [](const Rule& rule) { return rule.verdict.action == Action::kNotify; });
}

std::string CanonicalText(const Profile& profile) {
  std::vector<std::string> rules;
  std::set<std::string> decided;  // names with a rule without conditions: the first one stands
  for (const Rule& rule : profile.rules) {
    std::vector<std::string> conditions;
    for (const Condition& c : rule.conditions) {
      conditions.push_back(
          absl::StrCat(c.argument, ",", static_cast<int>(c.comparison), ",", c.value, ",", c.mask));
    }
    std::sort(conditions.begin(), conditions.end());
    const std::string tail =
        absl::StrCat(" ", VerdictText(rule.verdict), " ", absl::StrJoin(conditions, ";"), "\n");
    // With its length, since a name may hold anything that a profile's author wrote.
    for (const std::string& name : rule.names) {
      if (rule.conditions.empty() && !decided.insert(name).second) continue;
      rules.push_back(absl::StrCat(name.size(), ":", name, tail));
    }
  }
  std::sort(rules.begin(), rules.end());
  rules.erase(std::unique(rules.begin(), rules.end()), rules.end());
  std::string text = absl::StrCat("default ", VerdictText(profile.default_verdict), "\narch");
  for (const Architecture a : profile.architectures) absl::StrAppend(&text, " ", int(a));
  return absl::StrCat(text, "\n", absl::StrJoin(rules, ""));
}

const std::string& CompilerVersion() {
  static const std::string* const version = [] {
    std::string all = absl::StrCat(kEmitterVersion, " libseccomp ", LibraryVersion(), "\n");
    for (const SyscallNumbers& row : SyscallTable()) {
      absl::StrAppend(&all, row.name, " ", row.x86_64, " ", row.i386, " ", row.x32, " ");
      absl::StrAppend(&all, row.arm64, " ", row.arm, "\n");
    }
    return new std::string(Sha256Hex(all).substr(0, 16));
  }();
  return *version;
}

}  // namespace berth::shim::seccomp
