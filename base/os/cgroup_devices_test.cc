#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "absl/strings/str_cat.h"
#include "base/os/cgroup_internal.h"

namespace berth::os::cgroup_internal {
namespace {

using Rule = CgroupLimits::DeviceRule;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Rule kDenyAll{false, 'a', {}, {}, "rwm"};

std::vector<std::string> WritesV1(const std::vector<Rule>& rules) {
  const absl::StatusOr<std::vector<DeviceWrite>> writes = DeviceWritesV1(rules);
  if (!writes.ok()) return {std::string(writes.status().message())};
  std::vector<std::string> texts;
  for (const DeviceWrite& one : *writes) {
    texts.push_back(absl::StrCat(one.allow ? "+" : "-", one.text));
  }
  return texts;
}

TEST(CgroupDeviceTest, RulesAreWrittenInOrderAsTheKernelReadsThem) {
  EXPECT_THAT(WritesV1({kDenyAll, {true, 'c', 5, {}, "m"}, {true, 'b', {}, -1, "rwm"}}),
              ElementsAre("-a", "+c 5:* m", "+b *:* rwm"));
}

TEST(CgroupDeviceTest, APartOfEverythingIsAPartOfEachType) {
  EXPECT_THAT(WritesV1({kDenyAll, {true, 'a', 1, {}, "rwm"}, {true, 'a', {}, {}, "m"}}),
              ElementsAre("-a", "+b 1:* rwm", "+c 1:* rwm", "+b *:* m", "+c *:* m"));
}

TEST(CgroupDeviceTest, BadRulesAreRefused) {
  EXPECT_FALSE(CheckDeviceRule({true, 'u', 1, 1, "rwm"}).ok());
  EXPECT_FALSE(CheckDeviceRule({true, 'c', 1, 1, "x"}).ok());
  EXPECT_FALSE(CheckDeviceRule({true, 'c', 1, 1, ""}).ok());
  EXPECT_TRUE(CheckDeviceRule({true, 'a', 1, {}, "r"}).ok());
}

TEST(CgroupDeviceTest, AnExceptionGoesAsItCameOnV1) {
  EXPECT_THAT(WritesV1({kDenyAll, {true, 'c', 1, 3, "rwm"}, {false, 'c', 1, 3, "w"}}),
              ElementsAre("-a", "+c 1:3 rwm", "-c 1:3 w"));
  EXPECT_THAT(
      WritesV1({kDenyAll, {true, 'c', 1, {}, "rwm"}, {false, 'c', 1, 3, "w"}}),
      ElementsAre(HasSubstr("linux.resources.devices[2]: cgroup v1 takes an earlier rule")));
  // Nothing is taken from what is of another type, number or access.
  EXPECT_THAT(WritesV1({kDenyAll,
                        {true, 'c', 1, {}, "r"},
                        {false, 'b', 1, 3, "r"},
                        {false, 'c', 2, 3, "r"},
                        {false, 'c', 1, 3, "w"}}),
              ::testing::SizeIs(5));
  // "a" starts anew.
  EXPECT_THAT(
      WritesV1({{false, 'c', 1, {}, "rwm"}, {true, 'a', {}, {}, "mwr"}, {false, 'c', 1, 3, "w"}}),
      ElementsAre("-c 1:* rwm", "+a", "-c 1:3 w"));
}

// What the program answers; it has six kinds of instruction.
int Ask(const std::vector<bpf_insn>& program, uint32_t type, uint32_t access, uint32_t major,
        uint32_t minor) {
  const std::array<uint32_t, 3> context = {access << 16 | type, major, minor};
  std::array<uint32_t, 11> r{};
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const bpf_insn& insn = program[pc];
    const auto imm = static_cast<uint32_t>(insn.imm);
    switch (insn.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        r.at(insn.dst_reg) = context.at(static_cast<size_t>(insn.off) / 4);
        break;
      case BPF_ALU | BPF_MOV | BPF_X:
        r.at(insn.dst_reg) = r.at(insn.src_reg);
        break;
      case BPF_ALU | BPF_MOV | BPF_K:
        r.at(insn.dst_reg) = imm;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        r.at(insn.dst_reg) &= imm;
        break;
      case BPF_ALU | BPF_RSH | BPF_K:
        r.at(insn.dst_reg) >>= imm;
        break;
      case BPF_JMP32 | BPF_JNE | BPF_K:
        if (r.at(insn.dst_reg) != imm) pc += static_cast<size_t>(insn.off);
        break;
      case BPF_JMP32 | BPF_JEQ | BPF_K:
        if (r.at(insn.dst_reg) == imm) pc += static_cast<size_t>(insn.off);
        break;
      case BPF_JMP | BPF_EXIT:
        return static_cast<int>(r[0]);
      default:
        ADD_FAILURE() << "instruction " << static_cast<int>(insn.code);
        return -1;
    }
  }
  ADD_FAILURE() << "runs off its end";
  return -1;
}

// The definition: of each access the last rule that fits decides, none means allowed.
bool Allowed(const std::vector<Rule>& rules, char type, const std::string& access, int64_t major,
             int64_t minor) {
  for (const char one : access) {
    bool allow = true;
    for (const Rule& rule : rules) {
      const bool fits =
          (rule.type == 'a' || rule.type == type) && rule.major.value_or(major) == major &&
          rule.minor.value_or(minor) == minor && rule.access.find(one) != std::string::npos;
      if (fits) allow = rule.allow;
    }
    if (!allow) return false;
  }
  return true;
}

TEST(CgroupDeviceTest, TheProgramDecidesAsTheRulesSay) {
  constexpr std::array<const char*, 7> kAccess = {"r", "w", "m", "rw", "rm", "wm", "rwm"};
  const auto mask = [](const std::string& access) {
    uint32_t bits = 0;
    for (const char c : access) {
      bits |= c == 'r' ? BPF_DEVCG_ACC_READ : c == 'w' ? BPF_DEVCG_ACC_WRITE : BPF_DEVCG_ACC_MKNOD;
    }
    return bits;
  };
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same every time
  const auto below = [&](uint32_t n) { return static_cast<size_t>(random() % n); };
  for (int round = 0; round < 2000; ++round) {
    std::vector<Rule> rules(below(7));
    for (Rule& rule : rules) {
      rule.allow = below(2) == 0;
      rule.type = "abc"[below(3)];
      if (below(2) == 0) rule.major = static_cast<int64_t>(below(2));
      if (below(2) == 0) rule.minor = static_cast<int64_t>(below(2));
      rule.access = kAccess.at(below(kAccess.size()));
    }
    const absl::StatusOr<std::vector<bpf_insn>> program = DeviceProgram(rules);
    ASSERT_TRUE(program.ok()) << program.status();
    for (int question = 0; question < 56; ++question) {
      const char type = (question & 1) != 0 ? 'b' : 'c';
      const uint32_t major = (question >> 1) & 1;
      const uint32_t minor = (question >> 2) & 1;
      const std::string access = kAccess.at(static_cast<size_t>(question >> 3));
      ASSERT_EQ(Ask(*program, type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, mask(access),
                    major, minor) == 1,
                Allowed(rules, type, access, major, minor))
          << "round " << round << " question " << question;
    }
  }
}

}  // namespace
}  // namespace berth::os::cgroup_internal
