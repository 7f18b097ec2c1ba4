#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>

#include <functional>

#include "shim/seccomp/bpf_interpreter.h"
#include "shim/seccomp/profile.h"
#include "shim/seccomp/syscall_table.h"

namespace berth::shim::seccomp {
namespace {

using ::testing::HasSubstr;

constexpr Verdict kAllow{Action::kAllow, 0};
constexpr Verdict kPerm{Action::kErrno, EPERM};

Profile Of(Verdict default_verdict, std::vector<Rule> rules) {
  return {default_verdict,
          {Architecture::kX86_64, Architecture::kI386, Architecture::kX32},
          std::move(rules)};
}

uint32_t Answer(const Profile& profile, int number, std::vector<uint64_t> args = {},
                uint32_t arch = AUDIT_ARCH_X86_64) {
  const auto program = Compile(profile);
  EXPECT_TRUE(program.ok()) << program.status();
  if (!program.ok()) return 0;
  seccomp_data data = {};
  data.arch = arch;
  data.nr = number;
  for (size_t i = 0; i < args.size(); ++i) data.args[i] = args[i];
  const auto result = RunBpf(*program, data);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(0);
}

absl::Status ErrorOf(const Profile& profile) { return Compile(profile).status(); }

TEST(CompileTest, EachActionBecomesItsKernelValue) {
  const std::pair<Verdict, uint32_t> kCases[] = {
      {{Action::kAllow, 0}, SECCOMP_RET_ALLOW},
      {{Action::kLog, 0}, SECCOMP_RET_LOG},
      {{Action::kErrno, 13}, SECCOMP_RET_ERRNO | 13},
      {{Action::kTrap, 0}, SECCOMP_RET_TRAP},
      {{Action::kKillThread, 0}, SECCOMP_RET_KILL_THREAD},
      {{Action::kKillProcess, 0}, SECCOMP_RET_KILL_PROCESS},
      {{Action::kTrace, 0x1234}, SECCOMP_RET_TRACE | 0x1234},
      {{Action::kNotify, 0}, SECCOMP_RET_USER_NOTIF}};
  for (const auto& [verdict, value] : kCases) {
    EXPECT_EQ(Answer(Of(kPerm, {{{"getpid"}, verdict, {}}}), 39), value);
    EXPECT_EQ(Answer(Of(kPerm, {{{"getpid"}, verdict, {{0, Comparison::kEqual, 7, 0}}}}), 39, {7}),
              value);
    EXPECT_EQ(Answer(Of(verdict, {}), 39), value);
  }
}

TEST(CompileTest, DefaultThatPermitsAlsoPermitsUnknownNumbers) {
  EXPECT_EQ(Answer(Of(kAllow, {{{"getpid"}, kPerm, {}}}), 2000), uint32_t{SECCOMP_RET_ALLOW});
  EXPECT_EQ(Answer(Of(kAllow, {{{"getpid"}, kPerm, {}}}), 39), SECCOMP_RET_ERRNO | EPERM);
  EXPECT_EQ(Answer(Of({Action::kKillProcess, 0}, {}), 2000), SECCOMP_RET_ERRNO | ENOSYS);
}

TEST(CompileTest, ComparisonsLookAtAllSixtyFourBits) {
  constexpr uint64_t kValue = 0x100000005;
  const std::pair<Comparison, std::function<bool(uint64_t)>> kCases[] = {
      {Comparison::kEqual, [](uint64_t a) { return a == kValue; }},
      {Comparison::kNotEqual, [](uint64_t a) { return a != kValue; }},
      {Comparison::kLess, [](uint64_t a) { return a < kValue; }},
      {Comparison::kLessOrEqual, [](uint64_t a) { return a <= kValue; }},
      {Comparison::kGreater, [](uint64_t a) { return a > kValue; }},
      {Comparison::kGreaterOrEqual, [](uint64_t a) { return a >= kValue; }},
      {Comparison::kMaskedEqual, [](uint64_t a) { return (a & 0xf0000000f) == kValue; }}};
  for (const auto& [comparison, holds] : kCases) {
    const Profile profile =
        Of(kPerm, {{{"ioctl"}, kAllow, {{1, comparison, kValue, 0xf0000000f}}}});
    for (const uint64_t a : {uint64_t{0}, uint64_t{5}, kValue - 1, kValue, kValue + 1,
                             kValue + 0x10, kValue << 1, uint64_t{0x200000005}, UINT64_MAX}) {
      EXPECT_EQ(Answer(profile, 16, {0, a}),
                holds(a) ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | EPERM)
          << int(comparison) << " " << a;
    }
  }
}

TEST(CompileTest, AllConditionsOfOneRuleMustHoldAndAnyRuleIsEnough) {
  const Profile profile = Of(
      kPerm, {{{"ioctl"}, kAllow, {{0, Comparison::kEqual, 1, 0}, {1, Comparison::kEqual, 2, 0}}},
              {{"ioctl"}, kAllow, {{0, Comparison::kEqual, 9, 0}}}});
  EXPECT_EQ(Answer(profile, 16, {1, 2}), uint32_t{SECCOMP_RET_ALLOW});
  EXPECT_EQ(Answer(profile, 16, {1, 3}), SECCOMP_RET_ERRNO | EPERM);
  EXPECT_EQ(Answer(profile, 16, {9, 3}), uint32_t{SECCOMP_RET_ALLOW});
  EXPECT_EQ(Answer(profile, 54, {9, 3}, AUDIT_ARCH_I386), uint32_t{SECCOMP_RET_ALLOW});
}

TEST(CompileTest, RuleWithoutConditionsBeatsThoseWithSome) {
  const Rule conditional = {{"ioctl"}, kAllow, {{0, Comparison::kEqual, 1, 0}}};
  const Rule plain = {{"ioctl"}, {Action::kErrno, 5}, {}};
  EXPECT_EQ(Answer(Of(kPerm, {conditional, plain}), 16, {1}), SECCOMP_RET_ERRNO | 5);
  EXPECT_EQ(Answer(Of(kPerm, {plain, conditional}), 16, {1}), SECCOMP_RET_ERRNO | 5);
}

TEST(CompileTest, TheFirstOfSeveralRulesWithoutConditionsStands) {
  const Rule first = {{"ioctl"}, {Action::kErrno, 5}, {}};
  const Rule second = {{"ioctl", "read"}, {Action::kErrno, 6}, {}};
  const Profile profile = Of(kPerm, {first, second});
  EXPECT_EQ(Answer(profile, 16), SECCOMP_RET_ERRNO | 5);
  EXPECT_EQ(Answer(profile, 0), SECCOMP_RET_ERRNO | 6);
  EXPECT_NE(CanonicalText(profile), CanonicalText(Of(kPerm, {second, first})));
}

TEST(CompileTest, WhoAnswersInItsSteadIsAskedForUnknownNumbersToo) {
  EXPECT_EQ(Answer(Of({Action::kTrace, 7}, {}), 2000), SECCOMP_RET_TRACE | 7);
  EXPECT_EQ(Answer(Of({Action::kNotify, 0}, {}), 2000), uint32_t{SECCOMP_RET_USER_NOTIF});
}

TEST(CompileTest, ConditionsMayEndInAnyAction) {
  const Condition one = {0, Comparison::kEqual, 1, 0};
  const Profile profile = Of(
      kAllow, {{{"ioctl"}, {Action::kNotify, 0}, {one}}, {{"fcntl"}, {Action::kTrace, 9}, {one}}});
  EXPECT_EQ(Answer(profile, 16, {1}), uint32_t{SECCOMP_RET_USER_NOTIF});
  EXPECT_EQ(Answer(profile, 16, {2}), uint32_t{SECCOMP_RET_ALLOW});
  EXPECT_EQ(Answer(profile, 72, {1}), SECCOMP_RET_TRACE | 9);
}

TEST(CompileTest, CallsNewerThanLibseccompAreJudgedByNumberOnEveryArchitecture) {
  const Profile profile = Of(kPerm, {{{"mseal"}, kAllow, {}}});
  for (const uint32_t number : {462u, kX32Bit | 462u}) {
    EXPECT_EQ(Answer(profile, int(number)), uint32_t{SECCOMP_RET_ALLOW});
  }
  EXPECT_EQ(Answer(profile, 462, {}, AUDIT_ARCH_I386), uint32_t{SECCOMP_RET_ALLOW});
  EXPECT_EQ(Answer(profile, 463, {}, AUDIT_ARCH_I386), SECCOMP_RET_ERRNO | EPERM);
}

TEST(CompileTest, PermittedNamesOfOtherKernelsAreWithoutEffect) {
  EXPECT_TRUE(ErrorOf(Of(kPerm, {{{"s390_pci_mmio_read", "from_the_future"}, kAllow, {}}})).ok());
}

TEST(CompileTest, RefusalsNameTheCall) {
  const Condition one = {0, Comparison::kEqual, 1, 0};
  const absl::Status unknown = ErrorOf(Of(kAllow, {{{"from_the_future"}, kPerm, {}}}));
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(unknown.message(), HasSubstr("from_the_future"));
  const absl::Status repeated = ErrorOf(Of(kPerm, {{{"read"}, kAllow, {one, one}}}));
  EXPECT_EQ(repeated.code(), absl::StatusCode::kInvalidArgument);
  const absl::Status seventh =
      ErrorOf(Of(kPerm, {{{"read"}, kAllow, {{6, Comparison::kEqual, 1, 0}}}}));
  EXPECT_EQ(seventh.code(), absl::StatusCode::kInvalidArgument);
  const absl::Status newer = ErrorOf(Of(kPerm, {{{"mseal"}, kAllow, {one}}}));
  EXPECT_EQ(newer.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(newer.message(), HasSubstr("\"mseal\""));
  EXPECT_EQ(ErrorOf({kPerm, {}, {}}).code(), absl::StatusCode::kInvalidArgument);
}

// `count` rules, each with conditions on all six arguments of one of six calls.
std::vector<Rule> LongRules(uint64_t count) {
  const char* const kNames[] = {"prctl", "ioctl", "fcntl", "madvise", "keyctl", "futex"};
  std::vector<Rule> rules;
  for (uint64_t value = 0; value < count; ++value) {
    Rule rule = {{kNames[value % 6]}, kAllow, {}};
    for (uint32_t argument = 0; argument < 6; ++argument) {
      rule.conditions.push_back({argument, Comparison::kEqual, value * 0x100000001, 0});
    }
    rules.push_back(rule);
  }
  return rules;
}

TEST(CompileTest, MoreConditionsThanLibseccompDigestsAreRefused) {
  EXPECT_EQ(Answer(Of(kPerm, LongRules(20)), 16, std::vector<uint64_t>(6, 0x700000007)),
            uint32_t{SECCOMP_RET_ALLOW});
  const absl::Status status = ErrorOf(Of(kPerm, LongRules(65)));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), HasSubstr("390 conditions"));
}

TEST(CanonicalTextTest, OrderAndGroupingOfNamesDoNotCount) {
  const Profile a = Of(kPerm, {{{"read", "write"}, kAllow, {}}});
  const Profile b = Of(kPerm, {{{"write"}, kAllow, {}}, {{"read", "write"}, kAllow, {}}});
  EXPECT_EQ(CanonicalText(a), CanonicalText(b));
}

TEST(CanonicalTextTest, WhatChangesTheEffectChangesTheText) {
  const Profile base = Of(kPerm, {{{"read"}, kAllow, {{0, Comparison::kEqual, 1, 0}}}});
  Profile other = base;
  other.rules[0].conditions[0].value = 2;
  EXPECT_NE(CanonicalText(base), CanonicalText(other));
  other = base;
  other.rules[0].conditions[0].comparison = Comparison::kGreater;
  EXPECT_NE(CanonicalText(base), CanonicalText(other));
  other = base;
  other.default_verdict.data = ENOSYS;
  EXPECT_NE(CanonicalText(base), CanonicalText(other));
  other = base;
  other.architectures.pop_back();
  EXPECT_NE(CanonicalText(base), CanonicalText(other));
  // A name cannot pose as two rules.
  const Profile forged = Of(kPerm, {{{"read 0 \n5:write"}, kAllow, {}}});
  EXPECT_NE(CanonicalText(forged), CanonicalText(Of(kPerm, {{{"read", "write"}, kAllow, {}}})));
}

}  // namespace
}  // namespace berth::shim::seccomp
