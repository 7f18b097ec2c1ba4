// Runs the compiled default profile over every call of the table, on every architecture, for many
// capability sets, and holds the answers against testdata/default_profile.txt.
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/socket.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "shim/seccomp/bpf_interpreter.h"
#include "shim/seccomp/profile.h"
#include "shim/seccomp/syscall_table.h"

namespace berth::shim::seccomp {
namespace {

constexpr uint32_t kAllowed = SECCOMP_RET_ALLOW;
constexpr uint32_t kEperm = SECCOMP_RET_ERRNO | EPERM;
constexpr uint32_t kEnosys = SECCOMP_RET_ERRNO | ENOSYS;
constexpr uint64_t kAdmin = uint64_t{1} << CAP_SYS_ADMIN;
constexpr uint64_t Mask(std::initializer_list<int> capabilities) {
  uint64_t mask = 0;
  for (const int capability : capabilities) mask |= uint64_t{1} << capability;
  return mask;
}
// The fourteen that a container gets when nobody asks for others.
constexpr uint64_t kDocker =
    Mask({CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FSETID, CAP_FOWNER, CAP_MKNOD, CAP_NET_RAW, CAP_SETGID,
          CAP_SETUID, CAP_SETFCAP, CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_KILL,
          CAP_AUDIT_WRITE});

struct Abi {
  const char* name;
  uint32_t audit_arch;
  int SyscallNumbers::*column;
  uint32_t bit;
};
struct Platform {
  const char* name;  // the word in the test data
  std::vector<Architecture> architectures;
  std::vector<Abi> abis;
};
const std::vector<Platform>& Platforms() {
  static const auto* const platforms =
      new std::vector<Platform>{{"x86",
                                 {Architecture::kX86_64, Architecture::kI386, Architecture::kX32},
                                 {{"x86_64", AUDIT_ARCH_X86_64, &SyscallNumbers::x86_64, 0},
                                  {"i386", AUDIT_ARCH_I386, &SyscallNumbers::i386, 0},
                                  {"x32", AUDIT_ARCH_X86_64, &SyscallNumbers::x32, kX32Bit}}},
                                {"arm",
                                 {Architecture::kArm64, Architecture::kArm},
                                 {{"arm64", AUDIT_ARCH_AARCH64, &SyscallNumbers::arm64, 0},
                                  {"arm", AUDIT_ARCH_ARM, &SyscallNumbers::arm, 0}}}};
  return *platforms;
}

class Expectation {
 public:
  Expectation() {
    std::ifstream file(std::string(BERTH_TESTDATA) + "/default_profile.txt");
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string kind, name;
      words >> kind;
      if (kind == "#") continue;
      if (kind == "cap") {
        int number = -1;
        words >> number >> name;
        with_capability_[number].insert(name);
      } else {
        words >> name;
        permitted_[kind].insert(name);
      }
    }
  }
  size_t size() const { return permitted_.at("always").size(); }

  // For calls whose arguments do not count.
  uint32_t Answer(const std::string& platform, uint64_t caps, const std::string& name) const {
    if (permitted_.at("always").count(name) != 0 || permitted_.at(platform).count(name) != 0) {
      return kAllowed;
    }
    for (const auto& [capability, names] : with_capability_) {
      if ((caps >> capability & 1) != 0 && names.count(name) != 0) return kAllowed;
    }
    return name == "clone3" ? kEnosys : kEperm;
  }

 private:
  std::map<std::string, std::set<std::string>> permitted_;
  std::map<int, std::set<std::string>> with_capability_;
};

std::string MustCompile(uint64_t caps, const Platform& platform) {
  const auto program = Compile(DefaultProfile(caps, platform.architectures));
  EXPECT_TRUE(program.ok()) << program.status();
  return program.value_or("");
}

uint32_t Ask(const std::string& program, const Abi& abi, uint32_t number,
             std::vector<uint64_t> args = {}) {
  seccomp_data data = {};
  data.arch = abi.audit_arch;
  data.nr = static_cast<int>(abi.bit | number);
  for (size_t i = 0; i < args.size(); ++i) data.args[i] = args[i];
  const auto result = RunBpf(program, data);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.value_or(0);
}

bool ArgumentsCount(absl::string_view name, uint64_t caps) {
  return name == "socket" || name == "personality" || (name == "clone" && (caps & kAdmin) == 0);
}

void CheckEveryCall(const Expectation& expectation, const Platform& platform, uint64_t caps) {
  const std::string program = MustCompile(caps, platform);
  const std::vector<uint64_t> ones(6, UINT64_MAX);
  for (const Abi& abi : platform.abis) {
    for (const SyscallNumbers& row : SyscallTable()) {
      const int number = row.*abi.column;
      if (number == SyscallNumbers::kAbsent || ArgumentsCount(row.name, caps)) continue;
      const uint32_t want = expectation.Answer(platform.name, caps, std::string(row.name));
      EXPECT_EQ(Ask(program, abi, number), want) << row.name << " on " << abi.name;
      EXPECT_EQ(Ask(program, abi, number, ones), want) << row.name << " on " << abi.name;
    }
  }
}

TEST(DefaultProfileTest, EveryCallOfEveryArchitectureAnswersAsTheWrittenList) {
  const Expectation expectation;
  ASSERT_EQ(expectation.size(), 366u);
  for (const Platform& platform : Platforms()) {
    for (const uint64_t caps : {kDocker, uint64_t{0}, kAdmin, UINT64_MAX}) {
      SCOPED_TRACE(caps);
      CheckEveryCall(expectation, platform, caps);
    }
  }
}

TEST(DefaultProfileTest, EachCapabilityAloneBringsItsOwnCalls) {
  const Expectation expectation;
  for (int capability = 0; capability <= CAP_LAST_CAP; ++capability) {
    SCOPED_TRACE(capability);
    CheckEveryCall(expectation, Platforms()[0], uint64_t{1} << capability);
  }
}

TEST(DefaultProfileTest, NumbersOutsideTheTableAreNotImplementedRatherThanForbidden) {
  for (const Platform& platform : Platforms()) {
    for (const uint64_t caps : {kDocker, uint64_t{0}, kAdmin, UINT64_MAX}) {
      const std::string program = MustCompile(caps, platform);
      for (const Abi& abi : platform.abis) {
        std::set<uint32_t> known;
        for (const SyscallNumbers& row : SyscallTable()) {
          if (row.*abi.column >= 0) known.insert(row.*abi.column);
        }
        for (uint32_t number = 0; number < 1100; ++number) {
          if (known.count(number) != 0) continue;
          EXPECT_EQ(Ask(program, abi, number), kEnosys) << number << " on " << abi.name;
        }
        EXPECT_EQ(Ask(program, abi, *known.rbegin() + 1), kEnosys) << abi.name;
        EXPECT_EQ(Ask(program, abi, kX32Bit | 1000), kEnosys) << abi.name;
        EXPECT_EQ(Ask(program, abi, 0xffffffff), kEnosys) << abi.name;
      }
    }
  }
}

// A call of x86_64 alone has no meaning with the x32 bit, nor one of x32 without it.
TEST(DefaultProfileTest, X32AndX8664DoNotLendEachOtherNumbers) {
  const Platform& x86 = Platforms()[0];
  const std::string program = MustCompile(UINT64_MAX, x86);
  EXPECT_EQ(Ask(program, x86.abis[0], 13), kAllowed);           // rt_sigaction
  EXPECT_EQ(Ask(program, x86.abis[0], kX32Bit | 13), kEnosys);  // has 512 there
  EXPECT_EQ(Ask(program, x86.abis[0], kX32Bit | 512), kAllowed);
  EXPECT_EQ(Ask(program, x86.abis[0], 512), kEnosys);
}

TEST(DefaultProfileTest, CloneMakesNoNamespaceWithoutSysAdmin) {
  const SyscallNumbers& clone = *FindSyscall("clone");
  const uint64_t namespaces[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                 CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};
  for (const Platform& platform : Platforms()) {
    const std::string plain = MustCompile(kDocker, platform);
    const std::string admin = MustCompile(kDocker | kAdmin, platform);
    for (const Abi& abi : platform.abis) {
      const uint32_t number = clone.*abi.column;
      for (const uint64_t flags : {0ul, 0x3d0f00ul, 0x1200011ul, 0x4111ul, 0x80000000ul}) {
        EXPECT_EQ(Ask(plain, abi, number, {flags}), kAllowed) << flags << " on " << abi.name;
      }
      for (const uint64_t flag : namespaces) {
        EXPECT_EQ(Ask(plain, abi, number, {flag}), kEperm) << flag << " on " << abi.name;
        EXPECT_EQ(Ask(plain, abi, number, {flag | 0x11}), kEperm) << flag << " on " << abi.name;
        EXPECT_EQ(Ask(admin, abi, number, {flag | 0x11}), kAllowed) << flag << " on " << abi.name;
      }
    }
  }
}

TEST(DefaultProfileTest, PersonalityTakesFiveValues) {
  const SyscallNumbers& personality = *FindSyscall("personality");
  for (const Platform& platform : Platforms()) {
    const std::string program = MustCompile(UINT64_MAX, platform);
    for (const Abi& abi : platform.abis) {
      const uint32_t number = personality.*abi.column;
      for (const uint64_t value : {0x0u, 0x8u, 0x20000u, 0x20008u, 0xffffffffu}) {
        EXPECT_EQ(Ask(program, abi, number, {value}), kAllowed) << value << " on " << abi.name;
      }
      // ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC, and neighbours of the permitted ones.
      for (const uint64_t value : {0x40000u, 0x400000u, 0x1u, 0x9u, 0x20001u, 0xfffffffeu}) {
        EXPECT_EQ(Ask(program, abi, number, {value}), kEperm) << value << " on " << abi.name;
      }
    }
  }
}

TEST(DefaultProfileTest, SocketTakesEveryFamilyButVsockAndAlg) {
  const SyscallNumbers& socket = *FindSyscall("socket");
  const uint64_t garbage = 0xdeadbeef00000000;  // the kernel looks at the low half only
  for (const Platform& platform : Platforms()) {
    const std::string program = MustCompile(UINT64_MAX, platform);
    for (const Abi& abi : platform.abis) {
      const uint32_t number = socket.*abi.column;
      for (uint64_t family = 0; family < 300; ++family) {
        const uint32_t want = family == AF_VSOCK || family == AF_ALG ? kEperm : kAllowed;
        EXPECT_EQ(Ask(program, abi, number, {family}), want) << family << " on " << abi.name;
        if (abi.audit_arch & __AUDIT_ARCH_64BIT) {
          EXPECT_EQ(Ask(program, abi, number, {garbage | family}), want) << family;
        }
      }
      for (const uint64_t family : {0x7fffffffu, 0x80000000u, 0xffffffffu, 0x80000028u}) {
        EXPECT_EQ(Ask(program, abi, number, {family}), kAllowed) << family << " on " << abi.name;
      }
    }
  }
}

TEST(DefaultProfileTest, IoUringIsForbiddenEvenWithEveryCapability) {
  const Platform& x86 = Platforms()[0];
  const std::string program = MustCompile(UINT64_MAX, x86);
  for (const char* name : {"io_uring_setup", "io_uring_enter", "io_uring_register"}) {
    EXPECT_EQ(Ask(program, x86.abis[0], FindSyscall(name)->x86_64), kEperm) << name;
  }
}

}  // namespace
}  // namespace berth::shim::seccomp
