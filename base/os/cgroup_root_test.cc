// On the real kernel, in groups of this process's own: "/berth-test-<pid>".
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/failpoint.h"
#include "base/os/cgroup.h"
#include "base/os/cgroup_internal.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "base/os/spawn.h"
#include "base/os/test_dir.h"

namespace berth::os {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

Deadline Soon() { return Deadline::After(absl::Seconds(60)); }

class CgroupRootTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    absl::StatusOr<CgroupHost> host = CgroupHost::Probe();
    if (!host.ok()) GTEST_SKIP() << host.status();
    host_.emplace(*std::move(host));
  }
  void TearDown() override {
    if (!host_.has_value()) return;
    EXPECT_TRUE(host_->Kill(top_, Soon()).ok());
    EXPECT_TRUE(host_->Remove(top_, Soon()).ok());
  }
  void Create(const std::string& path) {
    absl::StatusOr<std::vector<std::string>> made = host_->Create(path);
    ASSERT_TRUE(made.ok()) << made.status();
  }
  absl::StatusOr<Child> SpawnIn(const std::string& path, std::vector<std::string> argv) {
    absl::StatusOr<CgroupJoin> join = host_->OpenJoin(path);
    if (!join.ok()) return join.status();
    SpawnOptions options;
    options.path = argv[0];
    options.argv = std::move(argv);
    options.env = {"PATH=/usr/bin:/bin"};
    options.cgroup_fd = join->into.get();
    for (const UniqueFd& tasks : join->tasks) options.cgroup_tasks_fds.push_back(tasks.get());
    return Spawn(options);
  }
  std::string Text(const std::string& controller, const std::string& file) {
    for (const auto& [key, root] : host_->v1_roots()) {
      if (key != controller) continue;
      absl::StatusOr<std::string> text = cgroup_internal::Read(root + group_, file);
      return text.ok() ? *text : std::string(text.status().message());
    }
    return "no such hierarchy";
  }

  const std::string top_ = absl::StrCat("/berth-test-", getpid(), "-base");
  const std::string group_ = top_ + "/pod/container";
  std::optional<CgroupHost> host_;
};

TEST_F(CgroupRootTest, CreateIsIdempotentAndRemoveLeavesNothing) {
  absl::StatusOr<std::vector<std::string>> made = host_->Create(group_);
  ASSERT_TRUE(made.ok()) << made.status();
  const size_t hierarchies = host_->v1_roots().size() + (host_->v2_root().empty() ? 0 : 1);
  EXPECT_EQ(made->size(), hierarchies);
  for (const std::string& dir : *made) EXPECT_TRUE(absl::EndsWith(dir, top_)) << dir;
  EXPECT_THAT(*host_->Create(group_), IsEmpty());
  EXPECT_TRUE(host_->Remove(top_, Soon()).ok());
  for (const std::string& dir : *made) EXPECT_NE(access(dir.c_str(), F_OK), 0) << dir;
  EXPECT_TRUE(host_->Remove(top_, Soon()).ok());
}

TEST_F(CgroupRootTest, AFailedCreateLeavesNothing) {
  ASSERT_TRUE(failpoint::Configure("cgroup_create_made=error").ok());
  EXPECT_FALSE(host_->Create(group_).ok());
  EXPECT_TRUE(failpoint::Configure("").ok());
  for (const auto& [key, root] : host_->v1_roots()) {
    EXPECT_NE(access((root + top_).c_str(), F_OK), 0) << root;
  }
  EXPECT_NE(access((host_->v2_root() + top_).c_str(), F_OK), 0);
}

TEST_F(CgroupRootTest, ASpawnedProcessIsInTheGroupOfEveryHierarchyFromItsFirstInstruction) {
  Create(group_);
  absl::StatusOr<Child> child = SpawnIn(group_, {"/bin/sleep", "1000"});
  ASSERT_TRUE(child.ok()) << child.status();
  absl::StatusOr<std::string> text = ReadFile(absl::StrCat("/proc/", child->pid, "/cgroup"), 4096);
  ASSERT_TRUE(text.ok());
  for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    EXPECT_TRUE(absl::EndsWith(line, group_)) << line;
  }
  EXPECT_THAT(*host_->Pids(top_), UnorderedElementsAre(child->pid));
  EXPECT_TRUE(host_->Kill(top_, Soon()).ok());
  EXPECT_THAT(*host_->Pids(top_), IsEmpty());
  absl::StatusOr<int> status = WaitChild(*child, Soon());
  ASSERT_TRUE(status.ok());
  EXPECT_TRUE(WIFSIGNALED(*status) && WTERMSIG(*status) == SIGKILL);
}

TEST_F(CgroupRootTest, KillReachesWholeTreesOfProcessesAndGroups) {
  // Where v2 limits, only a leaf may have processes.
  const std::string upper = host_->layout() == CgroupLayout::kV2 ? group_ + "/beside" : group_;
  Create(upper);
  Create(group_ + "/below");
  absl::StatusOr<Child> first =
      SpawnIn(upper, {"/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; wait"});
  absl::StatusOr<Child> second = SpawnIn(group_ + "/below", {"/bin/sleep", "1000"});
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(host_->Kill(top_, Soon()).ok());
  EXPECT_THAT(*host_->Pids(top_), IsEmpty());
  EXPECT_TRUE(WaitChild(*first, Soon()).ok());
  EXPECT_TRUE(WaitChild(*second, Soon()).ok());
}

TEST_F(CgroupRootTest, KillReachesAProcessThatIsOnlyInV1Groups) {
  if (host_->v1_roots().empty()) GTEST_SKIP() << "no v1 hierarchy here";
  Create(group_);
  absl::StatusOr<CgroupJoin> join = host_->OpenJoin(group_);
  ASSERT_TRUE(join.ok());
  SpawnOptions options;
  options.path = "/bin/sleep";
  options.argv = {"sleep", "1000"};
  options.cgroup_tasks_fds = {join->tasks[0].get()};
  absl::StatusOr<Child> child = Spawn(options);
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_TRUE(host_->Kill(top_, Soon()).ok());
  EXPECT_TRUE(IsDead(child->pid));
  EXPECT_TRUE(WaitChild(*child, Soon()).ok());
}

TEST_F(CgroupRootTest, KillReachesProcessesThatAreFrozen) {
  Create(group_);
  absl::StatusOr<Child> child = SpawnIn(group_, {"/bin/sleep", "1000"});
  ASSERT_TRUE(child.ok()) << child.status();
  for (const auto& [key, root] : host_->v1_roots()) {
    if (key == "freezer") {
      EXPECT_TRUE(cgroup_internal::Write(root + group_, "freezer.state", "FROZEN").ok());
    }
  }
  const absl::Status status = host_->Kill(group_, Soon());
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(WaitChild(*child, Soon()).ok());
}

TEST_F(CgroupRootTest, KillOfAnAbsentGroupSucceeds) {
  EXPECT_TRUE(host_->Kill(top_ + "/never", Soon()).ok());
}

TEST_F(CgroupRootTest, RemoveOfABusyGroupIsAnErrorAtItsDeadlineAndKeepsTheProcess) {
  Create(group_);
  absl::StatusOr<Child> child = SpawnIn(group_, {"/bin/sleep", "1000"});
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_FALSE(host_->Remove(group_, Deadline::After(absl::Milliseconds(5))).ok());
  EXPECT_FALSE(IsDead(child->pid));
  EXPECT_TRUE(host_->Kill(top_, Soon()).ok());
  EXPECT_TRUE(WaitChild(*child, Soon()).ok());
}

TEST_F(CgroupRootTest, LimitsReachTheKernelAndCanBeRaisedAndLowered) {
  if (host_->layout() == CgroupLayout::kV2) GTEST_SKIP() << "reads v1 files";
  Create(group_);
  CgroupLimits limits;
  limits.cpu_shares = 512;
  limits.cpu_quota_us = 20000;
  limits.cpu_period_us = 50000;
  limits.cpuset_cpus = "0";
  limits.memory_bytes = 32 << 20;
  limits.memory_swap_bytes = 32 << 20;
  limits.pids_max = 33;
  limits.hugepage_bytes["2MB"] = 0;
  limits.devices.push_back({false, 'a', {}, {}, "rwm"});
  limits.devices.push_back({true, 'c', 1, 3, "rwm"});
  for (int64_t mib : {32, 64, 16}) {
    limits.memory_bytes = mib << 20;
    limits.memory_swap_bytes = mib << 20;
    const absl::Status status = host_->Apply(group_, limits);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(Text("memory", "memory.limit_in_bytes"), absl::StrCat(mib << 20));
    EXPECT_EQ(Text("memory", "memory.memsw.limit_in_bytes"), absl::StrCat(mib << 20));
  }
  limits.memory_bytes = -1;
  limits.memory_swap_bytes.reset();
  EXPECT_TRUE(host_->Apply(group_, limits).ok());
  EXPECT_EQ(Text("cpu", "cpu.shares"), "512");
  EXPECT_EQ(Text("cpu", "cpu.cfs_quota_us"), "20000");
  EXPECT_EQ(Text("cpu", "cpu.cfs_period_us"), "50000");
  EXPECT_EQ(Text("cpuset", "cpuset.cpus"), "0");
  EXPECT_EQ(Text("pids", "pids.max"), "33");
  EXPECT_EQ(Text("devices", "devices.list"), "c 1:3 rwm");
  EXPECT_EQ(*host_->OomKills(group_), 0u);
}

TEST_F(CgroupRootTest, ALimitTheKernelRefusesNamesFileAndValue) {
  if (host_->layout() == CgroupLayout::kV2) GTEST_SKIP() << "reads v1 files";
  Create(group_);
  CgroupLimits limits;
  limits.cpuset_cpus = "4000";
  const absl::Status status = host_->Apply(group_, limits);
  EXPECT_TRUE(absl::StrContains(status.message(), "\"4000\"")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "cpuset.cpus")) << status;
}

// The v2 filter works on the v2 tree of a hybrid host too.
class DeviceProgramTest : public CgroupRootTest {
 protected:
  void SetUp() override {
    CgroupRootTest::SetUp();
    if (IsSkipped()) return;
    if (host_->v2_root().empty()) GTEST_SKIP() << "no v2 tree here";
    Create(group_);
  }
  absl::Status Attach(const std::vector<CgroupLimits::DeviceRule>& rules) {
    absl::StatusOr<std::vector<bpf_insn>> program = cgroup_internal::DeviceProgram(rules);
    if (!program.ok()) return program.status();
    return cgroup_internal::AttachDeviceProgram(host_->v2_root() + group_, *program);
  }
  // Exit code of a shell command run in the group.
  int Run(const std::string& command) {
    absl::StatusOr<Child> child = SpawnIn(group_, {"/bin/sh", "-c", command});
    EXPECT_TRUE(child.ok()) << child.status();
    absl::StatusOr<int> status = WaitChild(*child, Soon());
    EXPECT_TRUE(status.ok()) << status.status();
    return WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
  }
  const CgroupLimits::DeviceRule deny_all_{false, 'a', {}, {}, "rwm"};
};

TEST_F(DeviceProgramTest, OnlyWhatARuleAllowsCanBeOpened) {
  const absl::Status status = Attach({deny_all_, {true, 'c', 1, 3, "rwm"}, {true, 'c', 1, 9, "r"}});
  if (IsErrno(status, EPERM) || IsErrno(status, EINVAL)) GTEST_SKIP() << status;
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Run("exec 3</dev/null 4>/dev/null"), 0);
  EXPECT_EQ(Run("exec 3</dev/urandom"), 0);
  EXPECT_NE(Run("exec 3>/dev/urandom"), 0);
  EXPECT_NE(Run("exec 3</dev/zero"), 0);
}

TEST_F(DeviceProgramTest, ANewProgramTakesTheOldOnesPlace) {
  const absl::Status status = Attach({deny_all_, {true, 'c', 1, 3, "rwm"}});
  if (IsErrno(status, EPERM) || IsErrno(status, EINVAL)) GTEST_SKIP() << status;
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_TRUE(Attach({{true, 'a', {}, {}, "rwm"}, {false, 'c', 1, 5, "w"}}).ok());
  EXPECT_EQ(Run("exec 3</dev/urandom"), 0);
  EXPECT_EQ(Run("exec 3</dev/zero"), 0);
  EXPECT_NE(Run("exec 3>/dev/zero"), 0);
  EXPECT_NE(Run("exec 3<>/dev/zero"), 0);
}

TEST_F(DeviceProgramTest, MajorsWithoutMinorsAndMknodAreMatched) {
  const absl::Status status =
      Attach({deny_all_, {true, 'c', 1, {}, "rw"}, {true, 'b', {}, {}, "m"}});
  if (IsErrno(status, EPERM) || IsErrno(status, EINVAL)) GTEST_SKIP() << status;
  ASSERT_TRUE(status.ok()) << status;
  TestDir dir;
  EXPECT_EQ(Run("exec 3<>/dev/zero"), 0);
  EXPECT_EQ(Run(absl::StrCat("/bin/mknod ", dir / "b", " b 7 200")), 0);
  EXPECT_NE(Run(absl::StrCat("/bin/mknod ", dir / "c", " c 1 3")), 0);
}

}  // namespace
}  // namespace berth::os
