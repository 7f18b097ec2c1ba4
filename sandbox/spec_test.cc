// CRI -> OCI, field by field.
#include "sandbox/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "sandbox/spec_mounts.h"
#include "sandbox/spec_process.h"
#include "sandbox/spec_resources.h"
#include "sandbox/spec_security.h"
#include "sandbox/spec_user.h"
#include "sandbox/stop_signal.h"
#include "sandbox/testing/fakes.h"

namespace berth::sandbox {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr uint64_t kAll = (uint64_t{1} << 41) - 1;
constexpr uint64_t kSysResource = uint64_t{1} << 24;

template <typename T>
std::string Message(const absl::StatusOr<T>& result) {
  return std::string(result.status().message());
}

TEST(SpecProcessTest, CommandAndArgsFollowTheOciRules) {
  struct Case {
    std::vector<std::string> command, args, entrypoint, cmd, want;
  };
  const Case cases[] = {
      {{}, {}, {"e"}, {"c"}, {"e", "c"}},   {{}, {"a"}, {"e"}, {"c"}, {"e", "a"}},
      {{"x"}, {}, {"e"}, {"c"}, {"x"}},     {{"x"}, {"a"}, {"e"}, {"c"}, {"x", "a"}},
      {{}, {}, {}, {"c", "d"}, {"c", "d"}}, {{}, {"a"}, {}, {"c"}, {"a"}},
  };
  for (const Case& c : cases) {
    cri::ContainerConfig config;
    for (const std::string& s : c.command) config.add_command(s);
    for (const std::string& s : c.args) config.add_args(s);
    image::ImageConfig image;
    image.entrypoint = c.entrypoint;
    image.cmd = c.cmd;
    EXPECT_EQ(ResolveCommand(config, image).value(), c.want);
  }
}

TEST(SpecProcessTest, NothingToRunIsInvalid) {
  EXPECT_TRUE(absl::IsInvalidArgument(ResolveCommand({}, {}).status()));
  cri::ContainerConfig config;
  config.add_command("");
  EXPECT_TRUE(absl::IsInvalidArgument(ResolveCommand(config, {}).status()));
}

TEST(SpecProcessTest, WorkingDirIsTheRequestsThenTheImagesThenTheRoot) {
  cri::ContainerConfig config;
  image::ImageConfig image;
  EXPECT_EQ(ResolveWorkingDir(config, image).value(), "/");
  image.working_dir = "/image";
  EXPECT_EQ(ResolveWorkingDir(config, image).value(), "/image");
  config.set_working_dir("/mine");
  EXPECT_EQ(ResolveWorkingDir(config, image).value(), "/mine");
  config.set_working_dir("relative");
  EXPECT_TRUE(absl::IsInvalidArgument(ResolveWorkingDir(config, image).status()));
}

TEST(SpecProcessTest, EnvironmentIsOverriddenByKeyAndKeepsBytes) {
  cri::ContainerConfig config;
  image::ImageConfig image;
  image.env = {"PATH=/image", "A=1", "broken", "=x"};
  cri::KeyValue* kv = config.add_envs();
  kv->set_key("A");
  kv->set_value(std::string("\xff=2"));
  EXPECT_THAT(ResolveEnv(config, image, "host", "/root").value(),
              ElementsAre("PATH=/image", "HOSTNAME=host", "HOME=/root", "A=\xff=2"));
  kv->set_key("A=B");
  EXPECT_TRUE(absl::IsInvalidArgument(ResolveEnv(config, image, "h", "/").status()));
}

TEST(SpecProcessTest, ATerminalHasATypeUnlessTheImageOrTheRequestNamesOne) {
  cri::ContainerConfig config;
  image::ImageConfig image;
  EXPECT_THAT(ResolveEnv(config, image, "h", "/").value(), Not(Contains("TERM=xterm")));
  config.set_tty(true);
  EXPECT_THAT(ResolveEnv(config, image, "h", "/").value(), Contains("TERM=xterm"));
  image.env = {"TERM=linux"};
  EXPECT_THAT(ResolveEnv(config, image, "h", "/").value(), Contains("TERM=linux"));
}

TEST(SpecProcessTest, AHomeWithANewlineIsRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(ResolveEnv({}, {}, "h", "/root\nx:0:0").status()));
  cri::ContainerConfig config;
  config.add_envs()->set_key("HOME");
  config.mutable_envs(0)->set_value("/a\nroot");
  EXPECT_TRUE(absl::IsInvalidArgument(ResolveEnv(config, {}, "h", "/").status()));
}

absl::StatusOr<image::ResolvedUser> Resolver(const std::vector<std::string>&,
                                             absl::string_view user) {
  image::ResolvedUser resolved;
  resolved.name = std::string(user);
  if (user == "1000" || user == "app") {
    resolved.uid = 1000;
    resolved.gid = 1000;
    resolved.groups = {50000};
  } else if (user == "1000:7") {
    resolved.uid = 1000;
    resolved.gid = 7;
  } else if (!user.empty()) {
    return absl::InvalidArgumentError("no such user");
  }
  return resolved;
}

TEST(SpecUserTest, MergeAddsTheImagesGroupsAndStrictDoesNot) {
  cri::LinuxContainerSecurityContext security;
  security.mutable_run_as_user()->set_value(1000);
  security.add_supplemental_groups(60000);
  security.add_supplemental_groups(50000);
  EXPECT_THAT(ResolveContainerUser(security, {}, {}, Resolver)->user.additional_gids,
              ElementsAre(1000, 50000, 60000));
  security.set_supplemental_groups_policy(cri::Strict);
  EXPECT_THAT(ResolveContainerUser(security, {}, {}, Resolver)->user.additional_gids,
              ElementsAre(1000, 60000, 50000));
}

TEST(SpecUserTest, UserFormsAreExclusiveAndAGroupNeedsAUser) {
  cri::LinuxContainerSecurityContext security;
  security.mutable_run_as_group()->set_value(7);
  EXPECT_THAT(Message(ResolveContainerUser(security, {}, {}, Resolver)), HasSubstr("run_as_group"));
  security.mutable_run_as_user()->set_value(1000);
  EXPECT_EQ(ResolveContainerUser(security, {}, {}, Resolver)->user.gid, 7u);
  security.set_run_as_username("app");
  EXPECT_THAT(Message(ResolveContainerUser(security, {}, {}, Resolver)),
              HasSubstr("run_as_username"));
  security.clear_run_as_user();
  security.clear_run_as_group();
  EXPECT_EQ(ResolveContainerUser(security, {}, {}, Resolver)->user.uid, 1000u);
  security.set_run_as_username("app:0");
  EXPECT_TRUE(absl::IsInvalidArgument(ResolveContainerUser(security, {}, {}, Resolver).status()));
}

TEST(SpecUserTest, IdsThatDoNotFitAreRefused) {
  cri::LinuxContainerSecurityContext security;
  for (int64_t id : {int64_t{-1}, int64_t{4294967295}, int64_t{4294967296}}) {
    security.mutable_run_as_user()->set_value(id);
    EXPECT_TRUE(absl::IsInvalidArgument(ResolveContainerUser(security, {}, {}, Resolver).status()));
  }
}

TEST(SpecUserTest, TheImagesUserIsTheDefault) {
  image::ImageConfig image;
  image.user = "app";
  EXPECT_EQ(ResolveContainerUser({}, image, {}, Resolver)->user.uid, 1000u);
}

TEST(SpecSecurityTest, TheDefaultIsFourteenCapabilitiesAndNoInheritableOnes) {
  const absl::StatusOr<CapabilitySets> sets = ToCapabilities({}, kAll);
  ASSERT_TRUE(sets.ok());
  EXPECT_EQ(sets->names.bounding.size(), 14u);
  EXPECT_EQ(sets->names.effective, sets->names.bounding);
  EXPECT_EQ(sets->names.permitted, sets->names.bounding);
  EXPECT_THAT(sets->names.inheritable, IsEmpty());
  EXPECT_THAT(sets->names.ambient, IsEmpty());
  EXPECT_THAT(sets->names.bounding, Contains("CAP_AUDIT_WRITE"));
  EXPECT_THAT(sets->names.bounding, Not(Contains("CAP_SYS_ADMIN")));
}

TEST(SpecSecurityTest, AddAndDropWorkSinglyAndWithAll) {
  struct Case {
    std::vector<std::string> add, drop;
    size_t count;
  };
  const Case cases[] = {
      {{"SYS_ADMIN"}, {}, 15},      {{"cap_sys_admin"}, {}, 15},
      {{}, {"CHOWN"}, 13},          {{}, {"ALL"}, 0},
      {{"CHOWN"}, {"ALL"}, 1},      {{"ALL"}, {}, 41},
      {{"ALL"}, {"CAP_CHOWN"}, 40}, {{"CHOWN"}, {"CHOWN"}, 13},
      {{"ALL"}, {"ALL"}, 0},
  };
  for (const Case& c : cases) {
    cri::LinuxContainerSecurityContext security;
    for (const std::string& s : c.add) security.mutable_capabilities()->add_add_capabilities(s);
    for (const std::string& s : c.drop) security.mutable_capabilities()->add_drop_capabilities(s);
    const absl::StatusOr<CapabilitySets> sets = ToCapabilities(security, kAll);
    ASSERT_TRUE(sets.ok()) << sets.status();
    EXPECT_EQ(sets->names.bounding.size(), c.count);
  }
}

TEST(SpecSecurityTest, AllMeansWhatTheDaemonItselfMayHave) {
  cri::LinuxContainerSecurityContext security;
  security.set_privileged(true);
  const auto sets = ToCapabilities(security, kAll & ~kSysResource);
  EXPECT_EQ(sets->bounding, kAll & ~kSysResource);
  security.set_privileged(false);
  security.mutable_capabilities()->add_add_capabilities("SYS_RESOURCE");
  EXPECT_TRUE(absl::IsFailedPrecondition(ToCapabilities(security, kAll & ~kSysResource).status()));
  security.mutable_capabilities()->set_add_capabilities(0, "NO_SUCH");
  EXPECT_TRUE(absl::IsInvalidArgument(ToCapabilities(security, kAll).status()));
}

TEST(SpecSecurityTest, AmbientCapabilitiesAreInEverySet) {
  cri::LinuxContainerSecurityContext security;
  security.mutable_capabilities()->add_add_ambient_capabilities("NET_ADMIN");
  const auto sets = ToCapabilities(security, kAll);
  EXPECT_THAT(sets->names.ambient, ElementsAre("CAP_NET_ADMIN"));
  EXPECT_THAT(sets->names.inheritable, ElementsAre("CAP_NET_ADMIN"));
  EXPECT_THAT(sets->names.bounding, Contains("CAP_NET_ADMIN"));
}

TEST(SpecSecurityTest, SeccompIsUnconfinedUnlessAskedFor) {
  cri::LinuxContainerSecurityContext security;
  EXPECT_EQ(ToSeccomp(security)->choice, SeccompChoice::kUnconfined);
  security.mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  EXPECT_EQ(ToSeccomp(security)->choice, SeccompChoice::kRuntimeDefault);
  security.set_privileged(true);
  EXPECT_EQ(ToSeccomp(security)->choice, SeccompChoice::kUnconfined);
  security.set_privileged(false);
  security.mutable_seccomp()->set_localhost_ref("x.json");
  EXPECT_TRUE(absl::IsInvalidArgument(ToSeccomp(security).status()));
  security.mutable_seccomp()->set_profile_type(cri::SecurityProfile::Localhost);
  EXPECT_TRUE(absl::IsInvalidArgument(ToSeccomp(security).status())) << "not absolute";
  EXPECT_THAT(Message(ToSeccomp(security)), HasSubstr("x.json"));
  security.mutable_seccomp()->set_localhost_ref("/p/x.json");
  EXPECT_EQ(ToSeccomp(security)->choice, SeccompChoice::kLocalhost);
  EXPECT_EQ(ToSeccomp(security)->path, "/p/x.json");
  security.set_privileged(true);
  EXPECT_EQ(ToSeccomp(security)->choice, SeccompChoice::kUnconfined);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
TEST(SpecSecurityTest, TheDeprecatedSeccompPathIsReadWhereTheFieldIsNotSet) {
  cri::LinuxContainerSecurityContext security;
  security.set_seccomp_profile_path("unconfined");
  EXPECT_EQ(ToSeccomp(security)->choice, SeccompChoice::kUnconfined);
  security.set_seccomp_profile_path("runtime/default");
  EXPECT_EQ(ToSeccomp(security)->choice, SeccompChoice::kRuntimeDefault);
  security.set_seccomp_profile_path("localhost//p/x.json");
  EXPECT_EQ(ToSeccomp(security)->path, "/p/x.json");
  for (const char* wrong : {"localhost/x.json", "localhost//p/../x.json", "default"}) {
    security.set_seccomp_profile_path(wrong);
    EXPECT_TRUE(absl::IsInvalidArgument(ToSeccomp(security).status())) << wrong;
  }
  security.mutable_seccomp()->set_profile_type(cri::SecurityProfile::Unconfined);
  EXPECT_EQ(ToSeccomp(security)->choice, SeccompChoice::kUnconfined);
}
#pragma GCC diagnostic pop

TEST(SpecSecurityTest, AppArmorIsANoOpWithoutTheKernelsAndALocalProfileIsRefused) {
  cri::LinuxContainerSecurityContext security;
  EXPECT_TRUE(CheckAppArmor(security, true).ok());
  security.mutable_apparmor()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  EXPECT_TRUE(CheckAppArmor(security, false).ok());
  EXPECT_TRUE(absl::IsUnimplemented(CheckAppArmor(security, true)));
  security.mutable_apparmor()->set_profile_type(cri::SecurityProfile::Unconfined);
  EXPECT_TRUE(CheckAppArmor(security, true).ok());
  security.mutable_apparmor()->set_profile_type(cri::SecurityProfile::Localhost);
  EXPECT_TRUE(absl::IsUnimplemented(CheckAppArmor(security, false)));
}

TEST(SpecSecurityTest, GuardedPathsAreTheRequestsOrTheDefaults) {
  cri::LinuxContainerConfig config;
  EXPECT_THAT(ToGuardedPaths(config, false)->masked, Contains("/proc/kcore"));
  EXPECT_THAT(ToGuardedPaths(config, false)->readonly, Contains("/proc/sys"));
  config.mutable_security_context();  // empty lists are the default ones
  EXPECT_THAT(ToGuardedPaths(config, false)->masked, Contains("/proc/kcore"));
  config.mutable_security_context()->add_masked_paths("/proc/x");
  config.mutable_security_context()->add_readonly_paths("/proc/y");
  EXPECT_THAT(ToGuardedPaths(config, false)->masked, ElementsAre("/proc/x"));
  EXPECT_THAT(ToGuardedPaths(config, false)->readonly, ElementsAre("/proc/y"));
  config.mutable_security_context()->set_privileged(true);
  EXPECT_THAT(ToGuardedPaths(config, false)->masked, IsEmpty());
  config.mutable_security_context()->set_privileged(false);
  config.mutable_security_context()->add_masked_paths("relative");
  EXPECT_TRUE(absl::IsInvalidArgument(ToGuardedPaths(config, false).status()));
}

TEST(SpecResourcesTest, ZeroIsUnsetAndSwapFollowsMemory) {
  cri::LinuxContainerResources resources;
  os::CgroupLimits limits = ToCgroupLimits(resources).value();
  EXPECT_FALSE(limits.cpu_shares || limits.cpu_quota_us || limits.cpu_period_us ||
               limits.memory_bytes || limits.memory_swap_bytes);
  resources.set_cpu_shares(1);
  resources.set_cpu_quota(-1);
  resources.set_cpu_period(100000);
  resources.set_memory_limit_in_bytes(1000000);
  resources.set_cpuset_cpus("0-1");
  (*resources.mutable_unified())["memory.high"] = "900";
  cri::HugepageLimit* huge = resources.add_hugepage_limits();
  huge->set_page_size("2MB");
  huge->set_limit(0);
  limits = ToCgroupLimits(resources).value();
  EXPECT_EQ(*limits.cpu_shares, 2u);
  EXPECT_EQ(*limits.cpu_quota_us, -1);
  EXPECT_EQ(*limits.cpu_period_us, 100000u);
  EXPECT_EQ(*limits.memory_bytes, 1000000);
  EXPECT_EQ(*limits.memory_swap_bytes, 1000000);
  EXPECT_EQ(limits.cpuset_cpus, "0-1");
  EXPECT_EQ(limits.unified["memory.high"], "900");
  EXPECT_EQ(limits.hugepage_bytes.count("2MB"), 1u);
  resources.set_memory_swap_limit_in_bytes(2000000);
  EXPECT_EQ(*ToCgroupLimits(resources)->memory_swap_bytes, 2000000);
}

TEST(SpecResourcesTest, NonsenseIsRefusedByField) {
  cri::LinuxContainerResources resources;
  resources.set_cpu_quota(-2);
  EXPECT_THAT(Message(ToCgroupLimits(resources)), HasSubstr("cpu_quota"));
  resources.Clear();
  (*resources.mutable_unified())["../memory.max"] = "1";
  EXPECT_THAT(Message(ToCgroupLimits(resources)), HasSubstr("unified"));
  resources.Clear();
  resources.set_memory_limit_in_bytes(1000000);
  resources.set_memory_swap_limit_in_bytes(999999);
  EXPECT_THAT(Message(ToCgroupLimits(resources)), HasSubstr("memory_swap_limit_in_bytes"));
  resources.Clear();
  resources.set_cpuset_cpus("0\n1");
  EXPECT_TRUE(absl::IsInvalidArgument(ToCgroupLimits(resources).status()));
}

TEST(SpecResourcesTest, AbsurdNumbersAreRefusedByField) {
  const auto refused = [](const std::function<void(cri::LinuxContainerResources&)>& set) {
    cri::LinuxContainerResources resources;
    set(resources);
    return Message(ToCgroupLimits(resources));
  };
  using R = cri::LinuxContainerResources;
  EXPECT_THAT(refused([](R& r) { r.set_cpu_period(999); }), HasSubstr("cpu_period"));
  EXPECT_THAT(refused([](R& r) { r.set_cpu_period(1000001); }), HasSubstr("cpu_period"));
  EXPECT_THAT(refused([](R& r) { r.set_cpu_quota(999); }), HasSubstr("cpu_quota"));
  EXPECT_THAT(refused([](R& r) { r.set_cpu_shares(-1); }), HasSubstr("cpu_shares"));
  EXPECT_THAT(refused([](R& r) { r.set_memory_limit_in_bytes(1000); }), HasSubstr("memory_limit"));
  for (const char* list : {"3-1", "1,,2", "-", "1-", "a", "1-2-3", "99999999999", " 1"}) {
    EXPECT_THAT(refused([&](R& r) { r.set_cpuset_cpus(list); }), HasSubstr("cpuset_cpus")) << list;
    EXPECT_THAT(refused([&](R& r) { r.set_cpuset_mems(list); }), HasSubstr("cpuset_mems")) << list;
  }
  for (const char* size : {"", "2", "MB", "2TB", "../2MB", "2MB/"}) {
    EXPECT_THAT(refused([&](R& r) { r.add_hugepage_limits()->set_page_size(size); }),
                HasSubstr("hugepage_limits"))
        << size;
  }
  for (const char* file : {"cgroup.procs", "cgroup.kill", "tasks", "/etc/passwd"}) {
    EXPECT_THAT(refused([&](R& r) { (*r.mutable_unified())[file] = "1"; }), HasSubstr("unified"));
  }
}

TEST(SpecResourcesTest, UnifiedIsForHostsWithCgroupV2Alone) {
  cri::LinuxContainerResources resources;
  (*resources.mutable_unified())["memory.high"] = "900";
  EXPECT_TRUE(ToCgroupLimits(resources, os::CgroupLayout::kV2).ok());
  for (const os::CgroupLayout layout : {os::CgroupLayout::kV1, os::CgroupLayout::kHybrid}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ToCgroupLimits(resources, layout).status()));
  }
}

TEST(SpecResourcesTest, AMergeKeepsWhatIsNotAskedFor) {
  cri::LinuxContainerResources now;
  now.set_cpu_shares(512);
  now.set_memory_limit_in_bytes(1000000);
  now.add_hugepage_limits()->set_page_size("2MB");
  (*now.mutable_unified())["memory.high"] = "900";
  cri::LinuxContainerResources asked;
  asked.set_cpu_quota(5000);
  asked.add_hugepage_limits()->set_page_size("1GB");
  asked.mutable_hugepage_limits(0)->set_limit(7);
  (*asked.mutable_unified())["memory.low"] = "1";
  const cri::LinuxContainerResources merged = MergeResources(now, asked);
  EXPECT_EQ(merged.cpu_shares(), 512);
  EXPECT_EQ(merged.cpu_quota(), 5000);
  EXPECT_EQ(merged.memory_limit_in_bytes(), 1000000);
  EXPECT_EQ(merged.hugepage_limits_size(), 2);
  EXPECT_EQ(merged.unified_size(), 2);
  const os::CgroupLimits changed = OnlyAsked(ToCgroupLimits(merged).value(), asked);
  EXPECT_FALSE(changed.cpu_shares.has_value());
  EXPECT_FALSE(changed.memory_bytes.has_value());
  EXPECT_EQ(changed.cpu_quota_us.value_or(0), 5000);
  EXPECT_EQ(changed.hugepage_bytes.size(), 1u);
  EXPECT_EQ(changed.unified.size(), 1u);
}

TEST(SpecResourcesTest, OomScoreIsClampedToWhatTheHostAllows) {
  cri::LinuxContainerResources resources;
  resources.set_oom_score_adj(-500);
  EXPECT_EQ(ToOomScoreAdj(resources, -1000).value(), -500);
  EXPECT_EQ(ToOomScoreAdj(resources, 0).value(), 0);
  resources.set_oom_score_adj(1001);
  EXPECT_TRUE(absl::IsInvalidArgument(ToOomScoreAdj(resources, 0).status()));
}

TEST(SpecResourcesTest, AHardLimitAboveTheDaemonsOwnIsRefusedNamingBoth) {
  const auto own = [](const std::string& type) -> absl::StatusOr<shim::oci::Rlimit> {
    return shim::oci::Rlimit{type, 20000, 1024};
  };
  EXPECT_TRUE(CheckRlimits({{"RLIMIT_NOFILE", 20000, 20000}}, own).ok());
  const absl::Status above = CheckRlimits({{"RLIMIT_NOFILE", 30000, 1024}}, own);
  EXPECT_TRUE(absl::IsInvalidArgument(above));
  EXPECT_THAT(std::string(above.message()), HasSubstr("30000"));
  EXPECT_THAT(std::string(above.message()), HasSubstr("20000"));
  EXPECT_TRUE(absl::IsInvalidArgument(CheckRlimits({{"RLIMIT_NOFILE", 100, 200}}, own)));
  EXPECT_TRUE(absl::IsInvalidArgument(OwnRlimit("RLIMIT_NONE").status()));
  EXPECT_TRUE(OwnRlimit("RLIMIT_NOFILE").ok());
}

const shim::oci::Mount* Find(const PlannedMounts& plan, const std::string& target) {
  for (const shim::oci::Mount& mount : plan.mounts) {
    if (mount.destination == target) return &mount;
  }
  return nullptr;
}

TEST(SpecMountsTest, DefaultsAreThereWithTheirSources) {
  const PlannedMounts plan = PlanMounts({}, MountOptions{"/data/pod"}).value();
  for (const char* target : {"/proc", "/dev", "/dev/pts", "/dev/mqueue", "/dev/shm", "/sys",
                             "/sys/fs/cgroup", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}) {
    EXPECT_NE(Find(plan, target), nullptr) << target;
  }
  EXPECT_THAT(Find(plan, "/sys")->options, Contains("ro"));
  EXPECT_EQ(plan.trees.size(), 4u);
  for (const TreeSource& tree : plan.trees) {
    const shim::oci::Mount& mount = plan.mounts[tree.index];
    EXPECT_EQ(tree.host_path,
              mount.destination == "/dev/shm" ? "" : "/data/pod" + mount.destination.substr(4));
  }
  MountOptions host_ipc{"/data/pod"};
  host_ipc.private_ipc = false;
  host_ipc.privileged = true;
  const PlannedMounts privileged = PlanMounts({}, host_ipc).value();
  EXPECT_EQ(Find(privileged, "/dev/shm")->source, "/dev/shm");
  EXPECT_THAT(Find(privileged, "/sys")->options, Contains("rw"));
}

cri::Mount* AddMount(cri::ContainerConfig& config, const std::string& target,
                     const std::string& source) {
  cri::Mount* mount = config.add_mounts();
  mount->set_container_path(target);
  mount->set_host_path(source);
  return mount;
}

TEST(SpecMountsTest, ARequestBeatsADefaultAndParentsComeFirst) {
  cri::ContainerConfig config;
  AddMount(config, "/a/b/c", "/host/deep");
  AddMount(config, "/etc/hosts/", "/host/hosts")->set_readonly(true);
  AddMount(config, "/a", "/host/first");
  AddMount(config, "/a", "/host/last");
  const PlannedMounts plan = PlanMounts(config, MountOptions{"/data/pod"}).value();
  EXPECT_EQ(Find(plan, "/etc/hosts")->source, "/host/hosts");
  EXPECT_THAT(Find(plan, "/etc/hosts")->options, Contains("ro"));
  EXPECT_EQ(Find(plan, "/a")->source, "/host/last");
  EXPECT_THAT(Find(plan, "/a")->options, Contains("rw"));
  EXPECT_LT(Find(plan, "/a") - plan.mounts.data(), Find(plan, "/a/b/c") - plan.mounts.data());
  EXPECT_LT(Find(plan, "/dev") - plan.mounts.data(), Find(plan, "/dev/shm") - plan.mounts.data());
}

TEST(SpecMountsTest, WhatIsNotOfferedIsUnimplementedAndNamed) {
  const std::pair<std::function<void(cri::Mount*)>, const char*> cases[] = {
      {[](cri::Mount* m) { m->mutable_image()->set_image("img"); }, "img"},
      {[](cri::Mount* m) { m->add_mount_options("noexec"); }, "noexec"},
      {[](cri::Mount* m) { m->set_selinux_relabel(true); }, "selinux_relabel"},
  };
  for (const auto& [edit, word] : cases) {
    cri::ContainerConfig config;
    edit(AddMount(config, "/a", "/b"));
    MountOptions options{"/p"};
    options.has_selinux = true;
    const absl::StatusOr<PlannedMounts> plan = PlanMounts(config, options);
    EXPECT_TRUE(absl::IsUnimplemented(plan.status())) << word;
    EXPECT_THAT(Message(plan), HasSubstr(word));
    EXPECT_THAT(Message(plan), HasSubstr("config.mounts[0]"));
  }
}

TEST(SpecMountsTest, WithoutSelinuxThereIsNothingToRelabel) {
  cri::ContainerConfig config;
  AddMount(config, "/a", "/b")->set_selinux_relabel(true);
  EXPECT_TRUE(PlanMounts(config, MountOptions{"/p"}).ok());
}

TEST(SpecMountsTest, AUserNamespaceMayNotMountOnTheHost) {
  cri::ContainerConfig config;
  AddMount(config, "/a", "/s")->set_propagation(cri::PROPAGATION_BIDIRECTIONAL);
  MountOptions options{"/p"};
  options.user.uids = options.user.gids = {{0, 100000, 65536}};
  const absl::Status refused = PlanMounts(config, options).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("config.mounts[0].propagation"));
}

TEST(SpecMountsTest, PropagationAndAccessBecomeOptions) {
  cri::ContainerConfig config;
  AddMount(config, "/a", "/s")->set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER);
  AddMount(config, "/b", "/s")->set_propagation(cri::PROPAGATION_BIDIRECTIONAL);
  cri::Mount* rro = AddMount(config, "/c", "/s");
  rro->set_readonly(true);
  rro->set_recursive_read_only(true);
  const PlannedMounts plan = PlanMounts(config, MountOptions{"/data/pod"}).value();
  EXPECT_THAT(Find(plan, "/a")->options, ElementsAre("rbind", "rslave", "rw"));
  EXPECT_THAT(Find(plan, "/b")->options, ElementsAre("rbind", "rshared", "rw"));
  EXPECT_THAT(Find(plan, "/c")->options, ElementsAre("rbind", "rprivate", "rro"));
  rro->set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER);
  EXPECT_TRUE(absl::IsInvalidArgument(PlanMounts(config, MountOptions{"/p"}).status()));
  rro->set_propagation(cri::PROPAGATION_PRIVATE);
  rro->set_readonly(false);
  EXPECT_TRUE(absl::IsInvalidArgument(PlanMounts(config, MountOptions{"/p"}).status()));
}

TEST(SpecMountsTest, MappingsOfAMountAreTakenOrRefusedByName) {
  cri::ContainerConfig config;
  cri::Mount* mount = AddMount(config, "/a", "/s");
  cri::IDMapping* uid = mount->add_uidmappings();
  uid->set_host_id(100000);
  uid->set_length(65536);
  EXPECT_THAT(Message(PlanMounts(config, MountOptions{"/p"})),
              HasSubstr("uidMappings/gidMappings"));
  *mount->add_gidmappings() = *uid;
  const PlannedMounts plan = PlanMounts(config, MountOptions{"/p"}).value();
  EXPECT_THAT(Find(plan, "/a")->mappings.uids, ElementsAre(os::IdMapping{0, 100000, 65536}));
  EXPECT_TRUE(Find(plan, "/etc/hosts")->mappings.empty());
  uid->set_length(0);
  EXPECT_THAT(Message(PlanMounts(config, MountOptions{"/p"})), HasSubstr("length must not be 0"));
}

TEST(SpecMountsTest, PathsMustBeAbsolute) {
  for (const auto& [target, source] : {std::pair("a", "/b"), std::pair("/a", "b"),
                                       std::pair("/", "/b"), std::pair("/a\n", "/b")}) {
    cri::ContainerConfig config;
    AddMount(config, target, source);
    EXPECT_TRUE(absl::IsInvalidArgument(PlanMounts(config, MountOptions{"/p"}).status()));
  }
}

TEST(StopSignalTest, NamesAndNumbersAreUnderstood) {
  const std::pair<const char*, int> cases[] = {{"SIGTERM", 15},    {"term", 15},
                                               {"9", 9},           {"SIGRTMIN", 34},
                                               {"SIGRTMIN+3", 37}, {"RTMAX-1", 63}};
  for (const auto& [text, signo] : cases) EXPECT_EQ(ParseSignal(text).value(), signo) << text;
  for (const char* text : {"", "0", "65", "SIGNOPE", "SIGRTMIN+31", "SIGRTMIN3"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseSignal(text).status())) << text;
  }
}

TEST(StopSignalTest, EveryCriSignalHasANumber) {
  for (int value = cri::SIGNAL_SIGABRT; value <= cri::SIGNAL_SIGRTMAX; ++value) {
    EXPECT_TRUE(ResolveStopSignal(static_cast<cri::Signal>(value), "").ok())
        << cri::Signal_Name(static_cast<cri::Signal>(value));
  }
}

TEST(StopSignalTest, TheRequestBeatsTheImageBeatsTerm) {
  EXPECT_EQ(ResolveStopSignal(cri::SIGNAL_SIGUSR1, "SIGQUIT")->signo, 10);
  EXPECT_EQ(ResolveStopSignal(cri::SIGNAL_RUNTIME_DEFAULT, "SIGQUIT")->signo, 3);
  EXPECT_EQ(ResolveStopSignal(cri::SIGNAL_RUNTIME_DEFAULT, "SIGQUIT")->cri, cri::SIGNAL_SIGQUIT);
  EXPECT_EQ(ResolveStopSignal(cri::SIGNAL_RUNTIME_DEFAULT, "")->cri, cri::SIGNAL_SIGTERM);
}

TEST(SpecTest, TheWholeSpecReachesTheShim) {
  testing::World world;
  const std::string pod = world.Run(testing::World::PodConfig("pod")).value_or("");
  cri::ContainerConfig config = testing::World::ContainerConfig("main");
  cri::LinuxContainerSecurityContext* security = config.mutable_linux()->mutable_security_context();
  config.set_tty(true);
  security->set_run_as_username("nobody");
  security->set_no_new_privs(true);
  security->set_readonly_rootfs(true);
  security->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  *security->mutable_namespace_options() =
      testing::World::PodConfig("pod").linux().security_context().namespace_options();
  const absl::StatusOr<std::string> id = world.Create(pod, config);
  ASSERT_TRUE(id.ok()) << id.status();
  const shim::oci::Spec spec = world.shims().last_spec();
  EXPECT_THAT(spec.process.args, ElementsAre("sh"));
  EXPECT_EQ(spec.process.user.uid, 65534u);
  EXPECT_THAT(spec.process.env, Contains("HOSTNAME=node"));
  EXPECT_THAT(spec.process.env, Contains("HOME=/home/nobody"));
  EXPECT_TRUE(spec.process.terminal);
  EXPECT_TRUE(spec.process.no_new_privileges);
  EXPECT_TRUE(spec.root_readonly);
  EXPECT_EQ(spec.linux_.cgroups_path, "/berth/" + pod + "/" + *id);
  EXPECT_EQ(spec.linux_.namespaces.size(), 5u);  // mount, uts, cgroup, ipc, pid
  EXPECT_TRUE(absl::StartsWith(world.shims().Get(*id).seccomp.program, "program for "));
  EXPECT_EQ(world.shims().Get(*id).trees, 4u);
}

TEST(SpecTest, HostPidHasNoPidNamespace) {
  testing::World world;
  cri::PodSandboxConfig pod_config = testing::World::PodConfig("pod");
  pod_config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
      cri::NODE);
  const std::string pod = world.Run(pod_config).value_or("");
  ASSERT_TRUE(world.Create(pod, testing::World::ContainerConfig("main")).ok());
  for (const shim::oci::Namespace& ns : world.shims().last_spec().linux_.namespaces) {
    EXPECT_NE(ns.type, shim::oci::NamespaceType::kPid);
  }
}

}  // namespace
}  // namespace berth::sandbox
