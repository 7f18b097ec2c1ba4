#include "shim/seccomp/number_filter.h"

#include <gtest/gtest.h>
#include <linux/audit.h>

#include "shim/seccomp/bpf_interpreter.h"

namespace berth::shim::seccomp {
namespace {

constexpr Verdict kAllow{Action::kAllow, 0};
constexpr Verdict kPerm{Action::kErrno, EPERM};
constexpr Verdict kNoSys{Action::kErrno, ENOSYS};
constexpr uint32_t kFellThrough = 0x12345678;

std::string Assemble(const std::vector<NumberMap>& maps) {
  std::vector<sock_filter> program = NumberFilter(maps);
  program.push_back({BPF_RET | BPF_K, 0, 0, kFellThrough});
  return std::string(reinterpret_cast<const char*>(program.data()),
                     program.size() * sizeof(sock_filter));
}

uint32_t Answer(const std::string& program, uint32_t arch, uint32_t number) {
  seccomp_data data = {};
  data.arch = arch;
  data.nr = static_cast<int>(number);
  const auto result = RunBpf(program, data);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(0);
}

TEST(NumberFilterTest, GapsAndNumbersAboveGetTheOtherVerdict) {
  NumberMap map{AUDIT_ARCH_X86_64, {{3, kAllow}, {5, kPerm}}, kNoSys};
  const std::string program = Assemble({map});
  for (const uint32_t number : {0u, 2u, 4u, 6u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    EXPECT_EQ(Answer(program, AUDIT_ARCH_X86_64, number), ReturnValue(kNoSys)) << number;
  }
  EXPECT_EQ(Answer(program, AUDIT_ARCH_X86_64, 3), ReturnValue(kAllow));
  EXPECT_EQ(Answer(program, AUDIT_ARCH_X86_64, 5), ReturnValue(kPerm));
}

TEST(NumberFilterTest, LastNumberOfAllCanBeKnown) {
  NumberMap map{AUDIT_ARCH_X86_64, {{0xffffffff, kAllow}}, kNoSys};
  const std::string program = Assemble({map});
  EXPECT_EQ(Answer(program, AUDIT_ARCH_X86_64, 0xffffffff), ReturnValue(kAllow));
  EXPECT_EQ(Answer(program, AUDIT_ARCH_X86_64, 0xfffffffe), ReturnValue(kNoSys));
}

TEST(NumberFilterTest, OtherArchitecturesAreKilled) {
  const std::string program = Assemble({NumberMap{AUDIT_ARCH_X86_64, {}, kAllow}});
  EXPECT_EQ(Answer(program, AUDIT_ARCH_I386, 1), uint32_t{SECCOMP_RET_KILL_PROCESS});
}

TEST(NumberFilterTest, UndecidedNumbersFallThrough) {
  NumberMap map{AUDIT_ARCH_X86_64, {{7, std::nullopt}, {8, kAllow}}, kNoSys};
  const std::string program = Assemble({map});
  EXPECT_EQ(Answer(program, AUDIT_ARCH_X86_64, 7), kFellThrough);
  EXPECT_EQ(Answer(program, AUDIT_ARCH_X86_64, 8), ReturnValue(kAllow));
}

// 600 alternating ranges put branches beyond the 255 instructions of a conditional jump.
TEST(NumberFilterTest, ManyRangesOfSeveralArchitecturesStayApart) {
  NumberMap even{AUDIT_ARCH_X86_64, {}, kNoSys};
  NumberMap odd{AUDIT_ARCH_I386, {}, kPerm};
  for (uint32_t n = 0; n < 600; n += 2) {
    even.known[n] = kAllow;
    odd.known[n + 1] = n == 300 ? Decision{} : Decision{kAllow};
  }
  const std::string program = Assemble({even, odd});
  for (uint32_t n = 0; n < 700; ++n) {
    const bool is_even = n % 2 == 0;
    EXPECT_EQ(Answer(program, AUDIT_ARCH_X86_64, n),
              ReturnValue(is_even && n < 600 ? kAllow : kNoSys));
    const uint32_t want =
        n == 301 ? kFellThrough : ReturnValue(!is_even && n < 600 ? kAllow : kPerm);
    EXPECT_EQ(Answer(program, AUDIT_ARCH_I386, n), want) << n;
  }
}

}  // namespace
}  // namespace berth::shim::seccomp
