#include "shim/seccomp/syscall_table.h"

#include <gtest/gtest.h>
#include <seccomp.h>

#include <map>
#include <string>

namespace berth::shim::seccomp {
namespace {

using Column = int SyscallNumbers::*;
struct Case {
  const char* name;
  uint32_t library;
  Column column;
  int bit;
  int last;  // the newest number there is
};
const Case kCases[] = {
    {"x86_64", SCMP_ARCH_X86_64, &SyscallNumbers::x86_64, 0, 471},
    {"i386", SCMP_ARCH_X86, &SyscallNumbers::i386, 0, 471},
    {"x32", SCMP_ARCH_X32, &SyscallNumbers::x32, kX32Bit, 547},
    {"arm64", SCMP_ARCH_AARCH64, &SyscallNumbers::arm64, 0, 471},
    {"arm", SCMP_ARCH_ARM, &SyscallNumbers::arm, 0, 0xf0006},
};

TEST(SyscallTableTest, IsSortedByNameWithoutDuplicates) {
  absl::string_view previous;
  for (const SyscallNumbers& row : SyscallTable()) {
    EXPECT_LT(previous, row.name);
    EXPECT_EQ(FindSyscall(row.name), &row);
    previous = row.name;
  }
  EXPECT_EQ(FindSyscall("no_such_call"), nullptr);
  EXPECT_EQ(FindSyscall(""), nullptr);
}

// libseccomp resolves what its release knew, from tables of its own.
TEST(SyscallTableTest, AgreesWithLibseccompOnEveryNameItKnows) {
  for (const Case& c : kCases) {
    int compared = 0;
    for (const SyscallNumbers& row : SyscallTable()) {
      const int theirs =
          seccomp_syscall_resolve_name_arch(c.library, std::string(row.name).c_str());
      if (theirs < 0) continue;  // unknown to it, or a pseudo number: not on this architecture
      ++compared;
      ASSERT_NE(row.*c.column, SyscallNumbers::kAbsent) << row.name << " on " << c.name;
      EXPECT_EQ(c.bit | row.*c.column, theirs) << row.name << " on " << c.name;
    }
    EXPECT_GT(compared, 280) << c.name;
  }
}

TEST(SyscallTableTest, NoNumberIsTakenTwice) {
  for (const Case& c : kCases) {
    std::map<int, absl::string_view> taken;
    for (const SyscallNumbers& row : SyscallTable()) {
      if (row.*c.column == SyscallNumbers::kAbsent) continue;
      EXPECT_TRUE(taken.emplace(row.*c.column, row.name).second)
          << row.name << " and " << taken[row.*c.column] << " on " << c.name;
    }
    EXPECT_EQ(taken.rbegin()->first, c.last) << c.name;
  }
}

// Since 5.1 new calls have one number everywhere; all above libseccomp 2.5.4's last name, in order.
TEST(SyscallTableTest, NewCallsHaveOneNumberOnEveryArchitecture) {
  const char* const kNew[] = {"futex_wake",        "futex_wait",       "futex_requeue",
                              "statmount",         "listmount",        "lsm_get_self_attr",
                              "lsm_set_self_attr", "lsm_list_modules", "mseal",
                              "setxattrat",        "getxattrat",       "listxattrat",
                              "removexattrat",     "open_tree_attr",   "file_getattr",
                              "file_setattr",      "listns",           "rseq_slice_yield"};
  int number = 454;
  for (const char* name : kNew) {
    const SyscallNumbers* row = FindSyscall(name);
    ASSERT_NE(row, nullptr) << name;
    for (const Case& c : kCases) EXPECT_EQ(row->*c.column, number) << name << " on " << c.name;
    ++number;
  }
}

}  // namespace
}  // namespace berth::shim::seccomp
