#include "shim/seccomp/profile_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/test_dir.h"

namespace berth::shim::seccomp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ProfileContext Context(uint64_t bounding = 0) { return {bounding, 5, 14}; }

Profile Parse(const std::string& json, const ProfileContext& context = Context()) {
  absl::StatusOr<Profile> profile = ParseProfile(json, context);
  EXPECT_TRUE(profile.ok()) << profile.status() << "\n" << json;
  return profile.value_or(Profile{});
}

TEST(ProfileFileTest, TheOciFormIsRead) {
  const Profile profile = Parse(R"({
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
    "architectures": ["SCMP_ARCH_S390X"],
    "flags": ["SECCOMP_FILTER_FLAG_TSYNC"],
    "syscalls": [
      {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
      {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
      {"names": ["personality"], "action": "SCMP_ACT_LOG",
       "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"},
                {"index": 1, "value": 255, "valueTwo": 18446744073709551615,
                 "op": "SCMP_CMP_MASKED_EQ"}]}
    ]})");
  EXPECT_EQ(profile.default_verdict, (Verdict{Action::kErrno, 38}));
  EXPECT_THAT(profile.architectures, ElementsAre(HostArchitectures()[0]));
  ASSERT_EQ(profile.rules.size(), 3u);
  EXPECT_THAT(profile.rules[0].names, ElementsAre("read", "write"));
  EXPECT_EQ(profile.rules[0].verdict, (Verdict{Action::kAllow, 0}));
  EXPECT_EQ(profile.rules[1].verdict, (Verdict{Action::kErrno, 13}));
  ASSERT_EQ(profile.rules[2].conditions.size(), 2u);
  const Condition& masked = profile.rules[2].conditions[1];
  EXPECT_EQ(masked.comparison, Comparison::kMaskedEqual);
  EXPECT_EQ(masked.mask, 255u);
  EXPECT_EQ(masked.value, UINT64_MAX);
}

TEST(ProfileFileTest, EveryWordOfTheSpecificationIsKnown) {
  const std::pair<const char*, Action> actions[] = {{"KILL", Action::kKillThread},
                                                    {"KILL_PROCESS", Action::kKillProcess},
                                                    {"KILL_THREAD", Action::kKillThread},
                                                    {"TRAP", Action::kTrap},
                                                    {"ERRNO", Action::kErrno},
                                                    {"TRACE", Action::kTrace},
                                                    {"LOG", Action::kLog},
                                                    {"NOTIFY", Action::kNotify}};
  for (const auto& [name, action] : actions) {
    const Profile profile = Parse(absl::StrCat(
        R"({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/a", "listenerMetadata": "m",
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_)",
        name, "\"}]}"));
    ASSERT_EQ(profile.rules.size(), 1u) << name;
    EXPECT_EQ(profile.rules[0].verdict.action, action) << name;
    EXPECT_EQ(AsksListener(profile), action == Action::kNotify) << name;
    EXPECT_EQ(profile.listener_path, "/run/a");
    EXPECT_EQ(profile.listener_metadata, "m");
  }
  const Profile traced = Parse(R"({"defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 65535})");
  EXPECT_EQ(traced.default_verdict, (Verdict{Action::kTrace, 65535}));
  for (const char* name :
       {"X86",     "X86_64",      "X32",    "ARM",      "AARCH64",     "MIPS",
        "MIPS64",  "MIPS64N32",   "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC",
        "PPC64",   "PPC64LE",     "S390",   "S390X",    "PARISC",      "PARISC64",
        "RISCV64", "LOONGARCH64", "M68K",   "SH",       "SHEB"}) {
    Parse(absl::StrCat(R"({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_)", name,
                       "\"]}"));
  }
  const Profile flagged = Parse(R"({"defaultAction": "SCMP_ACT_ALLOW", "flags": [
      "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
      "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]})");
  EXPECT_EQ(flagged.flags, uint32_t{SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW |
                                    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV});
}

TEST(ProfileFileTest, CritestsProfileForbidsItsCallsAndNothingElse) {
  const Profile profile = Parse(
      R"({"defaultAction": "SCMP_ACT_ALLOW",
          "syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"}]})");
  ASSERT_EQ(profile.rules.size(), 1u);
  EXPECT_EQ(profile.rules[0].verdict, (Verdict{Action::kErrno, EPERM}));
  EXPECT_TRUE(Compile(profile).ok());
}

#if defined(__x86_64__)
TEST(ProfileFileTest, DockersFormIsRead) {
  constexpr char kJson[] = R"({
    "defaultAction": "SCMP_ACT_ERRNO",
    "archMap": [
      {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
      {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
    "syscalls": [
      {"name": "read", "action": "SCMP_ACT_ALLOW", "args": null, "comment": "why"},
      {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
      {"names": ["breakpoint"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm"]}},
      {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
      {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
      {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
      {"names": ["futex"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.0"}},
      {"names": ["getpid"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "5.14"}}
    ]})";
  const auto names = [&](const ProfileContext& context) {
    std::vector<std::string> all;
    for (const Rule& rule : Parse(kJson, context).rules) all.push_back(rule.names[0]);
    return all;
  };
  EXPECT_THAT(Parse(kJson).architectures,
              ElementsAre(Architecture::kX86_64, Architecture::kI386, Architecture::kX32));
  EXPECT_THAT(names(Context()), ElementsAre("read", "arch_prctl", "clone", "ptrace"));
  EXPECT_THAT(names(Context(uint64_t{1} << CAP_SYS_ADMIN)),
              ElementsAre("read", "arch_prctl", "mount", "ptrace"));
}
#endif

TEST(ProfileFileTest, SeveralConditionsOnOneArgumentAreAlternatives) {
  const Profile profile = Parse(R"({
    "defaultAction": "SCMP_ACT_ERRNO",
    "syscalls": [{"names": ["personality"], "action": "SCMP_ACT_ALLOW",
      "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"},
               {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}]})");
  ASSERT_EQ(profile.rules.size(), 2u);
  EXPECT_EQ(profile.rules[0].conditions[0].value, 0u);
  EXPECT_EQ(profile.rules[1].conditions[0].value, 8u);
  EXPECT_TRUE(Compile(profile).ok());
}

TEST(ProfileFileTest, ARuleThatSaysWhatHoldsAnywayIsNone) {
  const Profile profile = Parse(R"({
    "defaultAction": "SCMP_ACT_ERRNO",
    "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"},
                 {"names": ["read", "no_such_call"], "action": "SCMP_ACT_ERRNO"}]})");
  EXPECT_EQ(profile.rules.size(), 1u);
  EXPECT_TRUE(Compile(profile).ok());
}

TEST(ProfileFileTest, EachMistakeIsNamedWithItsPlace) {
  struct Case {
    const char* json;
    const char* message;
  };
  const Case cases[] = {
      {"", "line 1, column 1: not valid JSON"},
      {"{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\",\n  syscalls: []\n}",
       "line 3, column 3: not valid JSON"},
      {"{\"defaultAction\": \"SCMP_ACT_ALLOW\"", "line 1, column "},
      {"[]", "must be a JSON object"},
      {"{}", "defaultAction: is required"},
      {R"({"defaultAction": 1})", "defaultAction: must be a string"},
      {R"({"defaultAction": "SCMP_ACT_MAYBE"})",
       "defaultAction: unknown action \"SCMP_ACT_MAYBE\""},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1})",
       "defaultErrnoRet: goes with SCMP_ACT_ERRNO and SCMP_ACT_TRACE"},
      {R"({"defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 65536})",
       "defaultErrnoRet: 65536 is not an errno"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"],
           "action": "SCMP_ACT_KILL", "errnoRet": 1}]})",
       "syscalls[0].errnoRet: goes with"},
      {R"({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096})",
       "defaultErrnoRet: 4096 is not an errno"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_VAX"]})",
       "architectures: unknown architecture \"SCMP_ARCH_VAX\""},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
           "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]})",
       "archMap: given beside architectures"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{}]})",
       "archMap[0].architecture: is required"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW",
           "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_NEW_LISTENER"]})",
       "flags[1]: unknown flag \"SECCOMP_FILTER_FLAG_NEW_LISTENER\""},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"})",
       "listenerMetadata: given without listenerPath"},
      {R"({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/run/x"})",
       "syscalls: \"write\" must be allowed"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x",
           "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_NOTIFY"}]})",
       "syscalls: \"write\" must be allowed"},
      {R"({"defaultAction": "SCMP_ACT_ERRNO", "listenerPath": "/run/x",
           "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"},
                        {"names": ["write"], "action": "SCMP_ACT_ALLOW",
                         "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]})",
       "syscalls: \"write\" must be allowed"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "run/x",
           "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]})",
       "listenerPath: must be the absolute path of a socket"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}})", "syscalls: must be an array"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [1]})", "syscalls[0]: must be an object"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_LOG"}]})",
       "syscalls[0].names: must not be empty"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "name": "b"}]})",
       "syscalls[0].name: given beside names"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"]}]})",
       "syscalls[0].action: is required"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW",
           "syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]})",
       "listenerPath: is required: SCMP_ACT_NOTIFY is used"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"],
           "action": "SCMP_ACT_LOG", "args": [{"value": 6, "op": "SCMP_CMP_EQ"}]}]})",
       "syscalls[0].args[0].index: is required"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"],
           "action": "SCMP_ACT_LOG", "args": [{"index": 0, "op": "SCMP_CMP_EQ"}]}]})",
       "syscalls[0].args[0].value: is required"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"],
           "action": "SCMP_ACT_LOG", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]})",
       "syscalls[0].args[0].index: a call has arguments 0 to 5"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"],
           "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 0, "op": "=="}]}]})",
       "syscalls[0].args[0].op: unknown comparison \"==\""},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"],
           "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}]})",
       "syscalls[0].args[0].value: out of range"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"],
           "action": "SCMP_ACT_LOG", "includes": {"caps": ["CAP_FLY"]}}]})",
       "syscalls[0].includes.caps: \"CAP_FLY\" is not a capability"},
      {R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"],
           "action": "SCMP_ACT_LOG", "excludes": {"minKernel": "new"}}]})",
       "syscalls[0].excludes.minKernel: \"new\" is not a version"},
  };
  for (const Case& c : cases) {
    const absl::Status status = ParseProfile(c.json, Context()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.json;
    EXPECT_THAT(std::string(status.message()), StartsWith(c.message)) << c.json;
  }
}

TEST(ProfileFileTest, OnlyARegularFileOfBoundedSizeIsRead) {
  const os::TestDir dir;
  const auto refused = [](const std::string& path, const char* words) {
    const absl::Status status = ReadProfileFile(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << path << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  };
  refused(dir.path() + "/none", "No such file or directory");
  refused(dir.path(), "not a regular file");
  refused("/dev/zero", "not a regular file");
  ASSERT_EQ(mkfifo((dir.path() + "/fifo").c_str(), 0600), 0);
  refused(dir.path() + "/fifo", "not a regular file");  // and it returns
  auto file = os::Open(dir.path() + "/big", O_WRONLY | O_CREAT, 0600);
  ASSERT_TRUE(file.ok() && ftruncate(file->get(), kMaxProfileBytes + 1) == 0);
  refused(dir.path() + "/big", "");
  auto good = os::Open(dir.path() + "/good", O_WRONLY | O_CREAT, 0600);
  ASSERT_TRUE(good.ok() && os::WriteAll(good->get(), "{}").ok());
  ASSERT_EQ(symlink("good", (dir.path() + "/link").c_str()), 0);
  EXPECT_EQ(ReadProfileFile(dir.path() + "/link").value_or("?"), "{}");
}

}  // namespace
}  // namespace berth::shim::seccomp
