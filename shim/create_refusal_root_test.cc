// What `berth-shim create` refuses, by which name, and that nothing is left of it; and what is told
// only at start.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using ::testing::HasSubstr;

using CreateRefusalTest = ShimTest;

struct Refusal {
  const char* name;
  std::function<void(oci::Spec*)> change;
  absl::StatusCode code;
  const char* message;
};

TEST_F(CreateRefusalTest, WhatCannotBeDoneIsRefusedByNameAndLeavesNothing) {
  const auto mount = [](const char* to, const char* type, const std::vector<std::string>& options) {
    return [=](oci::Spec* s) { s->mounts.push_back({to, type, type, options}); };
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr auto kNotOffered = absl::StatusCode::kUnimplemented;
  const Refusal refusals[] = {
      {"destination climbs out", mount("/a/../../b", "tmpfs", {}), kInvalid,
       "mounts[2].destination: climbs out of the root: /a/../../b"},
      {"destination is the root", mount("//", "tmpfs", {}), kInvalid,
       "mounts[2].destination: must not be the root itself"},
      {"bind without a tree", mount("/vol", "bind", {"rbind"}), kInvalid,
       "mounts[2].source: no tree was handed over for /vol"},
      {"file system that the kernel has not", mount("/vol", "moonfs", {}), kInvalid,
       "mounts[2].type: \"moonfs\": open file system type moonfs: No such device"},
      {"copy-up into a file system that is not empty", mount("/vol", "proc", {"tmpcopyup"}),
       kInvalid, "mounts[2].options: tmpcopyup is tmpfs's"},
      {"mapping of a new file system", mount("/vol", "tmpfs", {"idmap"}), kInvalid,
       "mounts[2].uidMappings: only a bind mount takes mappings"},
      {"option that the kernel refuses", mount("/vol", "tmpfs", {"size=much"}), kInvalid,
       "mount: /vol (tmpfs): tmpfs: Bad value for 'size': Invalid argument"},
      {"destination below a file", mount("/bin/busybox/x", "tmpfs", {}), kInvalid,
       "mount: /bin/busybox/x: Not a directory"},
      {"a mount over proc", mount("/proc", "tmpfs", {}), kInvalid,
       "mount: /proc: no longer a proc: File exists"},
      {"terminal", [](oci::Spec* s) { s->process.terminal = true; }, kInvalid,
       "make terminal: /dev/pts/ptmx of a devpts: No such file or directory"},
      {"user namespace",
       [](oci::Spec* s) {
         s->linux_.namespaces.push_back({oci::NamespaceType::kUser, ""});
       },
       kInvalid, "linux.uidMappings: a new user namespace needs them"},
      {"no mount namespace",
       [](oci::Spec* s) { s->linux_.namespaces.erase(s->linux_.namespaces.begin() + 1); }, kInvalid,
       "linux.namespaces: a mount namespace that is not the runtime's is required"},
      {"unknown rlimit",
       [](oci::Spec* s) {
         s->process.rlimits = {{"RLIMIT_MOON", 1, 1}};
       },
       kInvalid, "process.rlimits[0].type: unknown: RLIMIT_MOON"},
      {"host name that is too long", [](oci::Spec* s) { s->hostname = std::string(65, 'a'); },
       kInvalid, "hostname: is longer than 64 bytes"},
      {"hook",
       [](oci::Spec* s) {
         s->hooks.poststop.push_back({"/bin/true", {}, {}, {}});
       },
       kNotOffered, "hooks.poststop: is not offered"},
      {"seccomp without a filter",
       [](oci::Spec* s) { s->linux_.seccomp = R"({"defaultAction":"SCMP_ACT_ALLOW"})"; },
       kNotOffered, "linux.seccomp: is not offered"},
      {"no process", [](oci::Spec* s) { s->has_process = false; }, kInvalid,
       "process: is required"},
      {"effective beyond permitted",
       [](oci::Spec* s) { s->process.capabilities.effective = {"CAP_KILL"}; }, kInvalid,
       "process.capabilities.effective: must be a subset of permitted"},
      {"hostname in the host's UTS namespace",
       [](oci::Spec* s) {
         s->hostname = "x";
         s->linux_.namespaces.erase(s->linux_.namespaces.begin() + 3);
       },
       kInvalid, "hostname: needs a UTS namespace"},
      {"domainname in the host's UTS namespace",
       [](oci::Spec* s) {
         s->domainname = "x";
         s->linux_.namespaces.erase(s->linux_.namespaces.begin() + 3);
       },
       kInvalid, "domainname: needs a UTS namespace"},
      {"NUL in the environment", [](oci::Spec* s) { s->process.env.emplace_back("A=b\0c", 5); },
       kInvalid, "process.env[1]: contains a NUL byte"},
  };
  for (const Refusal& refusal : refusals) {
    SCOPED_TRACE(refusal.name);
    TestContainer c(host_, {"/bin/true"});
    refusal.change(&c.spec());
    const absl::Status status = c.Create();
    EXPECT_EQ(status.code(), refusal.code);
    EXPECT_THAT(std::string(status.message()), ::testing::EndsWith(refusal.message));
    EXPECT_FALSE(os::Open(host_->launcher().RunDir(c.id()), O_PATH).ok());
    EXPECT_FALSE(os::Open(host_->cgroups().v2_root() + c.group(), O_PATH).ok());
  }
}

TEST_F(CreateRefusalTest, AHardLimitAboveTheDaemonsIsRefusedNamingBoth) {
  TestContainer c(host_, {"/bin/true"});
  rlimit own;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &own), 0);
  c.spec().process.rlimits = {{"RLIMIT_NOFILE", own.rlim_max + 1, 1}};
  const absl::Status status = c.Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat(own.rlim_max + 1)));
  EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat(own.rlim_max)));
}

TEST_F(CreateRefusalTest, ADirectoryTreeOnAFileIsRefused) {
  TestContainer c(host_, {"/bin/true"});
  absl::StatusOr<os::DetachedMount> tree = os::CloneTree(AT_FDCWD, host_->dir(), false);
  ASSERT_TRUE(tree.ok());
  c.spec().mounts.push_back({"/bin/busybox", "bind", "", {"bind"}});
  c.launch().mount_trees.emplace_back(2, *std::move(tree));
  const absl::Status status = c.Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              ::testing::EndsWith("mount: /bin/busybox: Not a directory"));
}

TEST_F(CreateRefusalTest, WhatDoesNotResolveIsToldAtStart) {
  struct Case {
    std::vector<std::string> args;
    std::string cwd;
    std::string message;
  };
  const Case cases[] = {
      {{"/bin/none"}, "/", "exec /bin/none: No such file or directory"},
      {{"none"}, "/", "exec none: No such file or directory"},
      {{"/etc"}, "/", "exec /etc: Permission denied"},
      {{"/bin/true"}, "/bin/busybox", "working directory"},
      {{"/bin/true"}, "/proc/self/fd/5", "working directory"},
  };
  for (const Case& item : cases) {
    SCOPED_TRACE(absl::StrCat(item.args[0], " in ", item.cwd));
    TestContainer c(host_, item.args);
    c.spec().process.cwd = item.cwd;
    const absl::Status created = c.Create();
    ASSERT_TRUE(created.ok()) << created;
    const absl::Status started = c.Start();
    EXPECT_EQ(started.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(started.message()), HasSubstr(item.message));
  }
}

}  // namespace
}  // namespace berth::shim
