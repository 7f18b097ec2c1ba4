// Mounts with the options of config.md's table, as the container's mount table and files show them.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using oci::NamespaceType;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

class MountOptionsRootTest : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    ASSERT_TRUE(os::MakeDirs(Source() + "/below", 0755).ok());
    ASSERT_TRUE(os::Open(Source() + "/file", O_WRONLY | O_CREAT, 0644).ok());
  }
  void TearDown() override {
    EXPECT_TRUE(os::RemoveTree(AT_FDCWD, Source()).ok());
    ShimTest::TearDown();
  }
  static std::string Source() { return host_->dir() + "/source"; }

  static void Bind(TestContainer* c, const std::string& from, const std::string& to,
                   std::vector<std::string> options) {
    absl::StatusOr<os::DetachedMount> tree = os::CloneTree(AT_FDCWD, from, true);
    ASSERT_TRUE(tree.ok()) << tree.status();
    options.push_back("rbind");
    c->spec().mounts.push_back({to, "bind", from, std::move(options)});
    c->launch().mount_trees.emplace_back(static_cast<int>(c->spec().mounts.size()) - 1,
                                         *std::move(tree));
  }
};

std::vector<os::MountEntry> MountsOf(pid_t pid) {
  const auto text = os::ReadFile(absl::StrCat("/proc/", pid, "/mountinfo"), 1 << 20);
  EXPECT_TRUE(text.ok()) << text.status();
  return os::ParseMountInfo(text.value_or("")).value_or(std::vector<os::MountEntry>{});
}

os::MountEntry MountAt(const TestContainer& c, const std::string& target) {
  os::MountEntry found;  // the last one is on top
  for (os::MountEntry& mount : MountsOf(c.launched().init_pid)) {
    if (mount.target == target) found = std::move(mount);
  }
  EXPECT_EQ(found.target, target) << "no mount there";
  return found;
}

std::vector<std::string> Split(const std::string& options) { return absl::StrSplit(options, ','); }

TEST_F(MountOptionsRootTest, ANewFileSystemHasItsOptionsOfBothKinds) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().mounts.push_back(
      {"relative/dir",
       "tmpfs",
       "named",
       {"nosuid", "nodev", "noexec", "nosymfollow", "noatime", "sync", "dirsync", "lazytime",
        "silent", "defaults", "size=64k", "mode=700", "shared"}});
  c.Run();
  const os::MountEntry mount = MountAt(c, "/relative/dir");
  EXPECT_EQ(mount.source, "named");
  EXPECT_TRUE(mount.is_shared);
  EXPECT_THAT(Split(mount.options),
              IsSupersetOf({"nosuid", "nodev", "noexec", "nosymfollow", "noatime"}));
  EXPECT_THAT(Split(mount.super_options),
              IsSupersetOf({"sync", "dirsync", "lazytime", "size=64k"}));
  EXPECT_EQ(c.Exec("busybox stat -c %a /relative/dir"), "700\n");
}

TEST_F(MountOptionsRootTest, RecursiveAttributesReachTheMountsBelow) {
  ASSERT_EQ(mount("inner", (Source() + "/below").c_str(), "tmpfs", 0, nullptr), 0);
  {
    TestContainer c(host_, {"/bin/sleep", "1000"});
    Bind(&c, Source(), "/all", {"rprivate", "rro", "rnosuid", "rnodev", "rnoexec", "rnoatime"});
    Bind(&c, Source(), "/top", {"rprivate", "ro", "nosuid"});
    c.Run();
    for (const char* target : {"/all", "/all/below"}) {
      EXPECT_THAT(Split(MountAt(c, target).options),
                  IsSupersetOf({"ro", "nosuid", "nodev", "noexec", "noatime"}))
          << target;
    }
    EXPECT_THAT(Split(MountAt(c, "/top").options), IsSupersetOf({"ro", "nosuid"}));
    EXPECT_THAT(Split(MountAt(c, "/top/below").options), Not(Contains("nosuid")));
  }
  EXPECT_EQ(umount2((Source() + "/below").c_str(), MNT_DETACH), 0);
}

TEST_F(MountOptionsRootTest, ARemountChangesWhatIsMounted) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().mounts.push_back({"/fs", "tmpfs", "tmpfs", {"size=64k"}});
  c.spec().mounts.push_back({"/fs", "tmpfs", "tmpfs", {"remount", "size=128k", "nosuid"}});
  Bind(&c, Source(), "/vol", {"rprivate"});
  c.spec().mounts.push_back({"/vol", "none", "", {"bind", "remount", "ro", "noexec"}});
  c.Run();
  EXPECT_THAT(Split(MountAt(c, "/fs").super_options), Contains("size=128k"));
  EXPECT_THAT(Split(MountAt(c, "/fs").options), Contains("nosuid"));
  EXPECT_THAT(Split(MountAt(c, "/vol").options), IsSupersetOf({"ro", "noexec"}));
}

TEST_F(MountOptionsRootTest, ARemountOfWhatIsNoMountIsRefused) {
  TestContainer c(host_, {"/bin/true"});
  c.spec().mounts.push_back({"/etc", "none", "", {"bind", "remount", "ro"}});
  const absl::Status status = c.Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              ::testing::EndsWith("mount: /etc (remount): Invalid argument"));
}

TEST_F(MountOptionsRootTest, ATmpfsBeginsWithWhatItCovers) {
  const std::string layer = host_->dir() + "/data/layers/copied";
  ASSERT_TRUE(os::MakeDirs(layer + "/data/deep/er", 0755).ok());
  ASSERT_EQ(chmod((layer + "/data/deep").c_str(), 01711), 0);
  ASSERT_EQ(chown((layer + "/data/deep").c_str(), 7, 8), 0);
  ASSERT_EQ(chmod((layer + "/data").c_str(), 0750), 0);
  const auto file = os::Open(layer + "/data/deep/er/file", O_WRONLY | O_CREAT, 0600);
  ASSERT_TRUE(file.ok() && os::WriteAll(file->get(), std::string(200000, 'x')).ok());
  ASSERT_EQ(fchown(file->get(), 5, 6), 0);
  ASSERT_EQ(fchmod(file->get(), 04755), 0);
  ASSERT_EQ(symlink("deep/er/file", (layer + "/data/link").c_str()), 0);
  ASSERT_EQ(mkfifo((layer + "/data/fifo").c_str(), 0640), 0);
  for (int i = 0; i < 300; ++i) {  // more than one read of the directory holds
    ASSERT_TRUE(
        os::Open(absl::StrCat(layer, "/data/name-of-some-length-", i), O_CREAT | O_WRONLY, 0644)
            .ok());
  }
  {
    TestContainer c(host_, {"/bin/sleep", "1000"});
    c.launch().root.lowers = {"layers/copied", "layers/busybox"};
    c.spec().mounts.push_back({"/data", "tmpfs", "tmpfs", {"tmpcopyup", "ro"}});
    c.spec().mounts.push_back({"/new", "tmpfs", "tmpfs", {"tmpcopyup", "mode=1777"}});
    c.Run();
    EXPECT_EQ(MountAt(c, "/data").fs_type, "tmpfs");
    EXPECT_THAT(Split(MountAt(c, "/data").options), Contains("ro"));
    EXPECT_EQ(c.Exec("busybox stat -c '%a %u %g %s' /data/deep/er/file; "
                     "busybox stat -c '%a %u %g' /data/deep /data; readlink /data/link; "
                     "busybox stat -c '%a %F' /data/fifo; ls /data | wc -l; "
                     "busybox stat -c %a /new"),
              "4755 5 6 200000\n1711 7 8\n750 0 0\ndeep/er/file\n640 fifo\n303\n1777\n");
  }
  EXPECT_TRUE(os::RemoveTree(AT_FDCWD, layer).ok());
}

TEST_F(MountOptionsRootTest, AnyTypeThatTheKernelHasIsMounted) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().mounts.push_back({"/ram", "ramfs", "ramfs", {"nosuid", "mode=711"}});
  c.Run();
  EXPECT_EQ(MountAt(c, "/ram").fs_type, "ramfs");
  EXPECT_THAT(Split(MountAt(c, "/ram").options), Contains("nosuid"));
}

TEST_F(MountOptionsRootTest, WithoutACgroupNamespaceTheContainersOwnGroupsAreShown) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  std::vector<oci::Namespace>& namespaces = c.spec().linux_.namespaces;
  ASSERT_EQ(namespaces.back().type, NamespaceType::kCgroup);
  namespaces.pop_back();
  c.spec().mounts.push_back({"/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "ro"}});
  c.Run();
  const bool v2 = host_->cgroups().layout() == os::CgroupLayout::kV2;
  const std::string place = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";
  const os::MountEntry mount = MountAt(c, place);
  EXPECT_THAT(mount.root, ::testing::EndsWith(c.group()));
  EXPECT_THAT(Split(mount.options), IsSupersetOf({"ro", "nosuid"}));
  EXPECT_FALSE(mount.is_shared);
  EXPECT_THAT(c.Exec(absl::StrCat("cat ", place, "/cgroup.procs")), HasSubstr("1\n"));
}

TEST_F(MountOptionsRootTest, TheRootHasThePropagationOfTheSpec) {
  struct Case {
    const char* name;
    bool is_shared;
  };
  for (const Case& item : {Case{"shared", true}, Case{"rshared", true}, Case{"private", false},
                           Case{"slave", false}, Case{"unbindable", false}}) {
    SCOPED_TRACE(item.name);
    TestContainer c(host_, {"/bin/sleep", "1000"});
    c.spec().linux_.rootfs_propagation = item.name;
    c.Run();
    EXPECT_EQ(MountAt(c, "/").is_shared, item.is_shared);
    const std::string info =
        os::ReadFile(absl::StrCat("/proc/", c.launched().init_pid, "/mountinfo"), 1 << 20)
            .value_or("");
    EXPECT_EQ(absl::StrContains(info, " unbindable "), item.name == std::string("unbindable"));
  }
}

TEST_F(MountOptionsRootTest, DevicesOfEachTypeAreMadeWhereTheSpecSays) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().linux_.devices = {{"/dev/own", 'c', 1, 3, 0640, 3, 4},
                             {"/data/unbuffered", 'u', 1, 5, 0600, 0, 0},
                             {"/dev/block", 'b', 7, 200, 0660, 0, 6},
                             {"/dev/pipe", 'p', 0, 0, 0622, 9, 9}};
  c.Run();
  EXPECT_EQ(c.Exec("busybox stat -c '%a %u %g %F %t:%T' /dev/own /data/unbuffered /dev/block "
                   "/dev/pipe"),
            "640 3 4 character special file 1:3\n"
            "600 0 0 character special file 1:5\n"
            "660 0 6 block special file 7:c8\n"
            "622 9 9 fifo 0:0\n");
}

}  // namespace
}  // namespace berth::shim
