// A container in a user namespace: who it is on the host, what its overlay does, and its volumes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "base/os/user_namespace.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using ::testing::HasSubstr;

constexpr uid_t kFirst = 200000;  // what the container's root is on the host

os::UserMappings Mappings(uint32_t host_id = kFirst) {
  return {{{0, host_id, 65536}}, {{0, host_id, 65536}}};
}

std::string ReadText(const std::string& path) {
  return os::ReadFile(path, 16 << 20).value_or("(none)");
}

std::string Field(pid_t pid, const std::string& name) {
  for (absl::string_view line :
       absl::StrSplit(ReadText(absl::StrCat("/proc/", pid, "/status")), '\n')) {
    if (absl::ConsumePrefix(&line, name + ":"))
      return std::string(absl::StripAsciiWhitespace(line));
  }
  return "";
}

std::string Link(const std::string& path) {
  char text[256] = {};
  return readlink(path.c_str(), text, sizeof text - 1) > 0 ? text : "";
}

class UserNamespaceTest : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    ASSERT_TRUE(os::MakeDirs(Layer(), 0755).ok());
  }
  void TearDown() override {
    EXPECT_TRUE(os::RemoveTree(AT_FDCWD, Layer()).ok());
    EXPECT_TRUE(os::RemoveTree(AT_FDCWD, host_->dir() + "/volume").ok());
    ShimTest::TearDown();
  }

  // The pod's namespaces, and what kubelet's containers have mounted.
  void Use(TestContainer* c, unsigned long others = CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) {
    absl::StatusOr<os::UserNamespaces> pod = os::MakeUserNamespace(Mappings(), others);
    ASSERT_TRUE(pod.ok()) << pod.status();
    oci::Spec& spec = c->spec();
    spec.linux_.mappings = Mappings();
    oci::Capabilities& caps = spec.process.capabilities;
    caps.bounding = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"};
    caps.permitted = caps.effective = caps.bounding;
    spec.linux_.namespaces.push_back({oci::NamespaceType::kUser, ""});
    auto& handed = c->launch().namespaces;
    handed.emplace_back(oci::NamespaceType::kUser, std::move(pod->user));
    handed.emplace_back(oci::NamespaceType::kUts, std::move(pod->uts));
    if (pod->ipc.valid()) handed.emplace_back(oci::NamespaceType::kIpc, std::move(pod->ipc));
    if (pod->net.valid()) {
      spec.linux_.namespaces.push_back({oci::NamespaceType::kNetwork, ""});
      handed.emplace_back(oci::NamespaceType::kNetwork, std::move(pod->net));
    }
    spec.mounts = {
        {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
        {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
        {"/dev/pts",
         "devpts",
         "devpts",
         {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
        {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
        {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}},
        {"/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}},
    };
    spec.linux_.masked_paths = {"/proc/kcore", "/proc/scsi"};
    spec.linux_.readonly_paths = {"/proc/sys"};
    c->launch().root.lowers = {"layers/userns", "layers/busybox"};
  }

  std::string Layer() const { return host_->dir() + "/data/layers/userns"; }
  std::string Upper(const TestContainer& c) const {
    return absl::StrCat(host_->dir(), "/data/containers/", c.id().str(), "/upper");
  }
  void Write(const std::string& path, const std::string& text, uid_t owner) const {
    const auto fd = os::Open(path, O_WRONLY | O_CREAT | O_EXCL, 0755);
    ASSERT_TRUE(fd.ok()) << fd.status();
    ASSERT_TRUE(os::WriteAll(fd->get(), text).ok());
    ASSERT_EQ(fchown(fd->get(), owner, owner), 0);
  }
  // A directory of the host at /vol; its mount in the container.
  oci::Mount& AddVolume(TestContainer* c, std::vector<std::string> options = {"rbind"}) const {
    const std::string volume = host_->dir() + "/volume";
    EXPECT_TRUE(os::MakeDirs(volume, 0777).ok());
    EXPECT_EQ(chmod(volume.c_str(), 0777), 0);
    absl::StatusOr<os::DetachedMount> tree = os::CloneTree(AT_FDCWD, volume, true);
    EXPECT_TRUE(tree.ok()) << tree.status();
    oci::Mount& mount =
        c->spec().mounts.emplace_back(oci::Mount{"/vol", "bind", volume, std::move(options)});
    c->launch().mount_trees.emplace_back(static_cast<int>(c->spec().mounts.size()) - 1,
                                         *std::move(tree));
    return mount;
  }
};

uid_t OwnerOf(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0 ? st.st_uid : 4242;
}

TEST_F(UserNamespaceTest, RootInsideIsNobodyOutside) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  Use(&c);
  c.spec().process.rlimits = {{"RLIMIT_NOFILE", 2048, 1024}};
  c.spec().process.oom_score_adj = 555;
  c.Run();
  const pid_t init = c.launched().init_pid;
  EXPECT_EQ(Field(init, "Uid"), "200000\t200000\t200000\t200000");
  EXPECT_EQ(Field(init, "Gid"), "200000\t200000\t200000\t200000");
  EXPECT_EQ(Field(init, "Groups"), "");
  EXPECT_EQ(Field(init, "NSpid"), absl::StrCat(init, "\t1"));
  EXPECT_EQ(ReadText(absl::StrCat("/proc/", init, "/uid_map")),
            "         0     200000      65536\n");
  EXPECT_EQ(ReadText(absl::StrCat("/proc/", init, "/oom_score_adj")), "555\n");
  for (const char* ns : {"user", "pid", "mnt", "ipc", "uts", "net", "cgroup"}) {
    const std::string link = Link(absl::StrCat("/proc/", init, "/ns/", ns));
    EXPECT_NE(link, Link(absl::StrCat("/proc/self/ns/", ns))) << ns;
    EXPECT_EQ(c.Exec(absl::StrCat("readlink /proc/self/ns/", ns)), link + "\n");
  }
  EXPECT_EQ(c.Exec("id -u; id -g; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; "
                   "echo err > /dev/stderr; echo $$ > /dev/null"),
            "0\n0\n1024\n2048\n555\n");
  EXPECT_EQ(c.Exec("cd /dev; busybox stat -c '%n %t:%T' null zero full random urandom tty"),
            "null 1:3\nzero 1:5\nfull 1:7\nrandom 1:8\nurandom 1:9\ntty 5:0\n");
  EXPECT_EQ(c.Exec("ls /sys/class/net; (echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo no"),
            "lo\nno\n");
  if (host_->cgroups().layout() != os::CgroupLayout::kV2) {
    EXPECT_EQ(c.Exec("cat /sys/fs/cgroup/memory/cgroup.procs | head -n 1"), "1\n");
  }
}

TEST_F(UserNamespaceTest, ATerminalIsItsUsersInContainerAndExec) {
  const std::string look = "tty; stat -c '%u:%g %a' $(tty); echo mine >/dev/tty; ";
  TestContainer c(host_, Shell(look + "stat -c '%u:%g %a' /dev/console; echo done; sleep 1000"));
  Use(&c);
  c.spec().process.terminal = true;
  c.spec().process.user.uid = 1000;
  c.spec().process.user.gid = 1000;
  c.Run();
  c.AwaitLine("done\r");
  EXPECT_THAT(c.Log(), ::testing::ElementsAre("stdout F /dev/pts/0\r", "stdout F 1000:5 620\r",
                                              "stdout F mine\r", "stdout F 1000:5 620\r",
                                              "stdout F done\r"));
  ASSERT_TRUE(c.client().Resize({30, 90}, Soon()).ok());
  const auto exec = c.client().ExecTerminal(Shell(look), absl::Seconds(20), Soon());
  ASSERT_TRUE(exec.ok()) << exec.status();
  const absl::StatusOr<int> code = exec->Wait(Soon());
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 0);
  char text[256];
  std::string out;
  for (ssize_t n; (n = read(exec->master(), text, sizeof text)) > 0;) {
    out.append(text, static_cast<size_t>(n));
  }
  EXPECT_EQ(out, "/dev/pts/1\r\n1000:5 620\r\nmine\r\n");
}

TEST_F(UserNamespaceTest, HostNamespacesAreShownAndCannotBeChanged) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  Use(&c, CLONE_NEWUTS);
  auto& namespaces = c.spec().linux_.namespaces;
  namespaces.erase(
      std::remove_if(namespaces.begin(), namespaces.end(),
                     [](const oci::Namespace& ns) { return ns.type == oci::NamespaceType::kIpc; }),
      namespaces.end());
  c.Run();
  EXPECT_EQ(c.Exec("readlink /proc/self/ns/net"), Link("/proc/self/ns/net") + "\n");
  EXPECT_THAT(c.Exec("grep ' /sys ' /proc/self/mountinfo"), HasSubstr(" ro,"));
  EXPECT_THAT(c.Exec("grep ' /dev/mqueue ' /proc/self/mountinfo"), HasSubstr("mqueue"));
}

TEST_F(UserNamespaceTest, AnotherUserHasItsGroupsAndItsPipes) {
  TestContainer c(host_, Shell("trap 'exit 0' TERM; id -u; id -G; echo err > /dev/stderr; "
                               "sleep 1000 & wait"));
  Use(&c);
  c.spec().process.user = {1000, 1001, 0027, {1001, 2000}};
  c.Run();
  ASSERT_TRUE(testing::Eventually([&] { return c.Log().size() == 3; }, absl::Seconds(10)));
  EXPECT_EQ(Field(c.launched().init_pid, "Uid"), "201000\t201000\t201000\t201000");
  ASSERT_TRUE(c.client().Signal(SIGTERM, Soon()).ok());
  EXPECT_EQ(c.AwaitExit().exit_code, 0);
  EXPECT_THAT(c.Log(),
              ::testing::IsSupersetOf({"stdout F 1000", "stdout F 1001 2000", "stderr F err"}));
}

TEST_F(UserNamespaceTest, AUserThatIsNotMappedIsRefused) {
  TestContainer c(host_, {"/bin/true"});
  Use(&c);
  c.spec().process.user.uid = 70000;
  const absl::Status status = c.Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("process.user.uid: 70000 is not mapped"));
}

TEST_F(UserNamespaceTest, TheOverlayKeepsOpaqueDirectoriesWhiteoutsAndOwners) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  Use(&c);
  const std::string below = host_->dir() + "/data/layers/below";
  ASSERT_TRUE(os::MakeDirs(below + "/opaque/old", 0755).ok());
  ASSERT_TRUE(os::MakeDirs(below + "/tree/sub", 0755).ok());
  Write(below + "/gone", "x", 0);
  Write(below + "/owned", "text\n", 1000);
  Write(below + "/tree/sub/file", "deep\n", 7);
  ASSERT_TRUE(os::MakeDirs(Layer() + "/opaque/new", 0755).ok());
  ASSERT_EQ(setxattr((Layer() + "/opaque").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  ASSERT_EQ(mknod((Layer() + "/gone").c_str(), S_IFCHR, makedev(0, 0)), 0);
  c.launch().root.lowers = {"layers/userns", "layers/below", "layers/busybox"};
  c.Run();
  EXPECT_EQ(c.Exec("ls /opaque; ls /gone 2>/dev/null || echo gone"), "new\ngone\n");
  EXPECT_EQ(c.Exec("cd /; busybox stat -c '%n %u' owned tree/sub/file bin/busybox"),
            "owned 1000\ntree/sub/file 7\nbin/busybox 0\n");
  // Copy-up.
  EXPECT_EQ(c.Exec("echo more >> /owned; cat /owned; busybox stat -c '%u %g' /owned"),
            "text\nmore\n1000 1000\n");
  EXPECT_EQ(OwnerOf(Upper(c) + "/owned"), kFirst + 1000);
  EXPECT_EQ(OwnerOf(below + "/owned"), 1000U);
  // A directory of a layer cannot be renamed (EXDEV): mv copies it, like anywhere else.
  EXPECT_EQ(c.Exec("busybox mv /tree /moved && cat /moved/sub/file && busybox stat -c %u "
                   "/moved/sub/file; ls /tree 2>/dev/null || echo gone"),
            "deep\n7\ngone\n");
  // Opaque and whiteout as the container makes them.
  EXPECT_EQ(c.Exec("busybox rm -r /opaque && busybox mkdir /opaque && ls /opaque; "
                   "busybox rm /bin/yes; ls /bin/yes 2>/dev/null || echo gone"),
            "gone\n");
  char opaque[8] = {};
  EXPECT_EQ(getxattr((Upper(c) + "/opaque").c_str(), "trusted.overlay.opaque", opaque, 8), 1);
  EXPECT_EQ(opaque[0], 'y');
  struct stat st;
  ASSERT_EQ(lstat((Upper(c) + "/bin/yes").c_str(), &st), 0);
  EXPECT_TRUE(S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
  EXPECT_TRUE(c.Remove().ok());
  EXPECT_TRUE(os::RemoveTree(AT_FDCWD, below).ok());
}

// security.capability of a layer, as an archive has it: no root id.
TEST_F(UserNamespaceTest, FileCapabilitiesOfALayerCountAndOnesMadeInsideNameTheirRoot) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  Use(&c);
  for (const char* name : {"/busybox-copied", "/busybox-untouched"}) {
    Write(Layer() + name, ReadText("/bin/busybox"), 0);
    vfs_cap_data caps{};
    caps.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE;
    caps.data[0].permitted = 1U << CAP_NET_BIND_SERVICE;
    ASSERT_EQ(setxattr((Layer() + name).c_str(), "security.capability", &caps, XATTR_CAPS_SZ_2, 0),
              0);
  }
  c.spec().process.user.uid = 1000;
  c.spec().process.capabilities = {{"CAP_NET_BIND_SERVICE"}, {}, {}, {}, {}};
  c.Run();
  EXPECT_EQ(c.Exec("/busybox-untouched grep CapEff /proc/self/status"),
            "CapEff:\t0000000000000400\n");
  EXPECT_EQ(c.Exec("grep CapEff /proc/self/status"), "CapEff:\t0000000000000000\n");
  EXPECT_TRUE(c.Remove().ok());

  TestContainer root(host_, Shell("busybox chmod 0755 /busybox-copied; sleep 1000"));
  Use(&root);
  root.Run();
  vfs_ns_cap_data made{};
  ASSERT_TRUE(testing::Eventually(
      [&] {
        return getxattr((Upper(root) + "/busybox-copied").c_str(), "security.capability", &made,
                        sizeof made) > 0;
      },
      absl::Seconds(10)));
  EXPECT_EQ(made.magic_etc & VFS_CAP_REVISION_MASK, unsigned{VFS_CAP_REVISION_3});
  EXPECT_EQ(made.rootid, kFirst);
}

TEST_F(UserNamespaceTest, AMappedVolumeShowsTheHostsOwnersAndAPlainOneDoesNot) {
  for (const bool mapped : {true, false}) {
    SCOPED_TRACE(mapped);
    TestContainer c(host_, {"/bin/sleep", "1000"});
    Use(&c);
    oci::Mount& volume = AddVolume(&c);
    if (mapped) volume.mappings = Mappings();
    const std::string dir = host_->dir() + "/volume";
    const std::string name = mapped ? "mapped" : "plain";
    Write(absl::StrCat(dir, "/of-root-", name), "x", 0);
    c.Run();
    EXPECT_EQ(c.Exec(absl::StrCat("echo x > /vol/", name, "; busybox stat -c %u /vol/", name,
                                  " /vol/of-root-", name)),
              mapped ? "0\n0\n" : "0\n65534\n");
    EXPECT_EQ(OwnerOf(absl::StrCat(dir, "/", name)), mapped ? 0U : kFirst);
  }
}

TEST_F(UserNamespaceTest, AMappingOfItsOwnIsTheMountsAlone) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  Use(&c);
  // The volume's root is the container's user 5.
  AddVolume(&c).mappings = {{{0, kFirst + 5, 1000}}, {{0, kFirst + 5, 1000}}};
  Write(host_->dir() + "/volume/file", "x", 0);
  c.Run();
  EXPECT_EQ(c.Exec("busybox stat -c '%u %g' /vol/file"), "5 5\n");
}

TEST_F(UserNamespaceTest, AFileSystemWithoutMappingsIsNamed) {
  TestContainer c(host_, {"/bin/true"});
  Use(&c);
  absl::StatusOr<os::DetachedMount> proc = os::NewMount("proc", {{"source", "proc"}}, 0);
  ASSERT_TRUE(proc.ok());
  c.spec().mounts.push_back({"/vol", "bind", "/the/source", {"rbind"}, Mappings()});
  c.launch().mount_trees.emplace_back(static_cast<int>(c.spec().mounts.size()) - 1,
                                      *std::move(proc));
  const absl::Status status = c.Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("/the/source"));
}

}  // namespace
}  // namespace berth::shim
