// Images that want to choose where the runtime mounts, writes or looks: one test for each of the
// holes that other low-level runtimes had.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

class HostileImageTest : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    ASSERT_TRUE(os::MakeDirs(Layer(), 0755).ok());
  }
  void TearDown() override {
    EXPECT_TRUE(os::RemoveTree(AT_FDCWD, Layer()).ok());
    ShimTest::TearDown();
  }
  static std::string Layer() { return host_->dir() + "/data/layers/hostile"; }
  static void Use(TestContainer* c) {
    c->launch().root.lowers = {"layers/hostile", "layers/busybox"};
  }
  // /dev is the image's own.
  static void UseImagesDev(TestContainer* c) {
    Use(c);
    ASSERT_EQ(c->spec().mounts.back().destination, "/dev");
    c->spec().mounts.pop_back();
  }
};

TEST_F(HostileImageTest, CVE_2025_31133_ADevNullOfTheImageDoesNotMaskPaths) {
  ASSERT_TRUE(os::MakeDirs(Layer() + "/dev", 0755).ok());
  ASSERT_EQ(symlink("/proc/sys/kernel/core_pattern", (Layer() + "/dev/null").c_str()), 0);
  TestContainer c(host_, {"/bin/true"});
  UseImagesDev(&c);
  c.spec().linux_.masked_paths = {"/proc/timer_list"};
  const absl::Status status = c.Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), EndsWith("make device: /dev/null: File exists"));
}

TEST_F(HostileImageTest, CVE_2025_31133_AnotherDeviceAtDevNullIsRefused) {
  ASSERT_TRUE(os::MakeDirs(Layer() + "/dev", 0755).ok());
  ASSERT_EQ(mknod((Layer() + "/dev/null").c_str(), S_IFCHR | 0666, makedev(1, 5)), 0);
  TestContainer c(host_, {"/bin/true"});
  UseImagesDev(&c);
  EXPECT_THAT(std::string(c.Create().message()), EndsWith("make device: /dev/null: File exists"));
}

TEST_F(HostileImageTest, TheRightDeviceOfTheImageIsKept) {
  ASSERT_TRUE(os::MakeDirs(Layer() + "/dev", 0755).ok());
  ASSERT_EQ(mknod((Layer() + "/dev/null").c_str(), S_IFCHR | 0622, makedev(1, 3)), 0);
  TestContainer c(host_, {"/bin/sleep", "1000"});
  UseImagesDev(&c);
  c.Run();
  EXPECT_EQ(c.Exec("busybox stat -c '%F %t:%T' /dev/null"), "character special file 1:3\n");
}

TEST_F(HostileImageTest, CVE_2019_16884_AMountOverProcIsNoticed) {
  TestContainer c(host_, {"/bin/true"});
  c.spec().mounts.push_back({"/proc", "tmpfs", "tmpfs", {}});
  const absl::Status status = c.Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/proc: no longer a proc"));
}

TEST_F(HostileImageTest, CVE_2025_52881_SysctlsAreWrittenToARealProcWhateverLiesAtProc) {
  // Nothing of the spec mounts /proc, and the image has files where sysctls would be.
  ASSERT_TRUE(os::MakeDirs(Layer() + "/proc/sys/kernel", 0755).ok());
  ASSERT_TRUE(
      os::Open(Layer() + "/proc/sys/kernel/shm_rmid_forced", O_CREAT | O_WRONLY, 0644).ok());
  TestContainer c(host_, {"/bin/sleep", "1000"});
  Use(&c);
  c.spec().mounts.erase(c.spec().mounts.begin());
  c.spec().linux_.sysctl = {{"kernel.shm_rmid_forced", "1"}};
  oci::Capabilities& caps = c.spec().process.capabilities;
  caps.bounding = caps.permitted = caps.effective = {"CAP_SYS_ADMIN"};
  c.Run();
  EXPECT_EQ(c.Exec("cat /proc/sys/kernel/shm_rmid_forced"), "");
  EXPECT_EQ(c.Exec("mount -t proc proc /vol && cat /vol/sys/kernel/shm_rmid_forced"), "1\n");
}

TEST_F(HostileImageTest, CVE_2021_30465_LinksInADestinationStayInTheRoot) {
  ASSERT_EQ(symlink("../../../../../../../..", (Layer() + "/out").c_str()), 0);
  ASSERT_EQ(symlink("/proc/1/root", (Layer() + "/magic").c_str()), 0);
  {
    TestContainer c(host_, {"/bin/sleep", "1000"});
    Use(&c);
    c.spec().mounts.push_back({"/out/berth-out", "tmpfs", "tmpfs", {}});
    c.Run();
    EXPECT_EQ(c.Exec("grep -q ' /berth-out ' /proc/self/mountinfo && echo inside"), "inside\n");
    EXPECT_NE(access("/berth-out", F_OK), 0);
  }
  TestContainer c(host_, {"/bin/true"});
  Use(&c);
  c.spec().mounts.push_back({"/magic/tmp", "tmpfs", "tmpfs", {}});
  const absl::Status status = c.Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), EndsWith("Too many levels of symbolic links"));
}

TEST_F(HostileImageTest, CVE_2024_21626_NoDescriptorIsAWayOutForTheWorkingDirectory) {
  for (int fd = 3; fd < 20; ++fd) {
    TestContainer c(host_, {"/bin/sleep", "1000"});
    c.spec().process.cwd = absl::StrCat("/proc/self/fd/", fd);
    const absl::Status created = c.Create();
    if (!created.ok()) continue;
    EXPECT_EQ(c.Start().code(), absl::StatusCode::kFailedPrecondition) << fd;
  }
}

TEST_F(HostileImageTest, AMaskedPathThatIsALinkIsMaskedWhereItLeadsInsideTheRoot) {
  ASSERT_EQ(symlink("/../../../etc/secret", (Layer() + "/masked").c_str()), 0);
  ASSERT_TRUE(os::MakeDirs(Layer() + "/etc", 0755).ok());
  const auto secret = os::Open(Layer() + "/etc/secret", O_CREAT | O_WRONLY, 0644);
  ASSERT_TRUE(secret.ok() && os::WriteAll(secret->get(), "text\n").ok());
  TestContainer c(host_, {"/bin/sleep", "1000"});
  Use(&c);
  c.spec().linux_.masked_paths = {"/masked"};
  c.Run();
  EXPECT_THAT(c.Exec("cat /etc/secret"), Not(HasSubstr("text")));
}

TEST_F(HostileImageTest, ALinkInACopiedUpDirectoryIsCopiedAndNotFollowed) {
  ASSERT_TRUE(os::MakeDirs(Layer() + "/data", 0755).ok());
  ASSERT_EQ(symlink("/etc/passwd", (Layer() + "/data/link").c_str()), 0);
  TestContainer c(host_, {"/bin/sleep", "1000"});
  Use(&c);
  c.spec().mounts.push_back({"/data", "tmpfs", "tmpfs", {"tmpcopyup"}});
  c.Run();
  EXPECT_EQ(c.Exec("readlink /data/link"), "/etc/passwd\n");
}

}  // namespace
}  // namespace berth::shim
