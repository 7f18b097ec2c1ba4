// What a container made by `berth-shim create` is: seen from inside (its own /proc, stat, id) and
// from the host (/proc/<pid>/status).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "base/os/pod_namespaces.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

using CreateTest = ShimTest;

// A layer with what a test's image has and busybox lacks; on top of busybox.
class ExtraLayer {
 public:
  ExtraLayer(TestHost* host, TestContainer* container) : path_(host->dir() + "/data/layers/extra") {
    EXPECT_TRUE(os::MakeDirs(path_, 0755).ok());
    container->launch().root.lowers = {"layers/extra", "layers/busybox"};
  }
  ~ExtraLayer() { EXPECT_TRUE(os::RemoveTree(AT_FDCWD, path_).ok()); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  const std::string path_;
};

std::string StatusField(pid_t pid, const std::string& name) {
  const absl::StatusOr<std::string> text =
      os::ReadFile(absl::StrCat("/proc/", pid, "/status"), 1 << 16);
  EXPECT_TRUE(text.ok()) << text.status();
  for (absl::string_view line : absl::StrSplit(text.value_or(""), '\n')) {
    if (absl::ConsumePrefix(&line, name + ":")) {
      return std::string(absl::StripAsciiWhitespace(line));
    }
  }
  return "";
}

std::string Link(const std::string& path) {
  char text[256] = {};
  return readlink(path.c_str(), text, sizeof text - 1) > 0 ? text : "";
}

// What the kubelet's containers have, in the order in which they are mounted.
void UseKubernetesMounts(oci::Spec* spec) {
  spec->mounts = {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}},
      {"/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}},
      {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
  };
  spec->linux_.masked_paths = {"/proc/kcore", "/proc/keys",    "/proc/timer_list", "/proc/scsi",
                               "/proc/acpi",  "/sys/firmware", "/proc/absent"};
  spec->linux_.readonly_paths = {"/proc/sys", "/proc/bus", "/proc/fs", "/proc/absent"};
}

std::vector<os::MountEntry> MountsOf(pid_t pid) {
  const auto text = os::ReadFile(absl::StrCat("/proc/", pid, "/mountinfo"), 1 << 20);
  EXPECT_TRUE(text.ok()) << text.status();
  return os::ParseMountInfo(text.value_or("")).value_or(std::vector<os::MountEntry>{});
}

const os::MountEntry* FindMount(const std::vector<os::MountEntry>& mounts,
                                const std::string& target) {
  const os::MountEntry* found = nullptr;  // the last one is on top
  for (const os::MountEntry& mount : mounts) {
    if (mount.target == target) found = &mount;
  }
  EXPECT_NE(found, nullptr) << "no mount at " << target;
  static const os::MountEntry none;
  return found == nullptr ? &none : found;
}

bool HasOption(const os::MountEntry& mount, absl::string_view option) {
  for (absl::string_view o : absl::StrSplit(mount.options, ',')) {
    if (o == option) return true;
  }
  return false;
}

// A filter that answers EPERM to mkdir and mkdirat and allows the rest.
std::string FilterWithoutMkdir() {
  const sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdirat, 1, 0),
#ifdef SYS_mkdir
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdir, 0, 1),
#else
      BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
#endif
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  return std::string(reinterpret_cast<const char*>(program), sizeof program);
}

TEST_F(CreateTest, EachNamespaceOfTheSpecIsNewAndTheOthersAreTheHosts) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.Run();
  const std::string proc = absl::StrCat("/proc/", c.launched().init_pid, "/ns/");
  for (const char* name : {"pid", "mnt", "ipc", "uts", "cgroup"}) {
    EXPECT_NE(Link(proc + name), Link(absl::StrCat("/proc/self/ns/", name))) << name;
    EXPECT_EQ(c.Exec(absl::StrCat("readlink /proc/self/ns/", name)), Link(proc + name) + "\n");
  }
  for (const char* name : {"net", "user", "time"}) {
    EXPECT_EQ(Link(proc + name), Link(absl::StrCat("/proc/self/ns/", name))) << name;
  }
  EXPECT_EQ(StatusField(c.launched().init_pid, "NSpid"),
            absl::StrCat(c.launched().init_pid, "\t1"));
}

TEST_F(CreateTest, ThePodsUtsAndIpcNamespacesAreJoined) {
  absl::StatusOr<os::PinTable> pins = os::PinTable::Open(host_->dir() + "/run");
  ASSERT_TRUE(pins.ok()) << pins.status();
  os::PodNamespaceOptions options;
  options.hostname = "pod-name";
  options.shm_bytes = 1 << 20;
  ASSERT_TRUE(pins->Pin("pod", options).ok());
  {
    TestContainer c(host_, {"/bin/sleep", "1000"});
    absl::StatusOr<os::PodNamespaces> pod = pins->OpenPod("pod", "");
    ASSERT_TRUE(pod.ok()) << pod.status();
    c.spec().hostname = "pod-name";
    c.spec().mounts.push_back({"/dev/shm", "bind", "", {"rbind", "nosuid"}});
    c.launch().mount_trees.emplace_back(static_cast<int>(c.spec().mounts.size()) - 1,
                                        std::move(pod->shm));
    c.launch().namespaces.emplace_back(oci::NamespaceType::kUts, std::move(pod->uts));
    c.launch().namespaces.emplace_back(oci::NamespaceType::kIpc, std::move(pod->ipc));
    c.Run();
    EXPECT_EQ(c.Exec("busybox hostname"), "pod-name\n");
    EXPECT_EQ(FindMount(MountsOf(c.launched().init_pid), "/dev/shm")->fs_type, "tmpfs");
  }
  EXPECT_TRUE(pins->Unpin("pod", "").ok());
  EXPECT_TRUE(os::PinTable::Remove(host_->dir() + "/run").ok());
}

TEST_F(CreateTest, AHostnameIsSetInAUtsNamespaceOfItsOwn) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().hostname = "own-name";
  c.Run();
  EXPECT_EQ(c.Exec("busybox hostname"), "own-name\n");
}

TEST_F(CreateTest, TheMountTableIsTheSpecsAndNothingOfTheHosts) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  UseKubernetesMounts(&c.spec());
  c.Run();
  const std::vector<os::MountEntry> mounts = MountsOf(c.launched().init_pid);
  std::vector<std::string> shown;
  for (const os::MountEntry& mount : mounts) {
    EXPECT_FALSE(mount.is_shared) << mount.target;
    if (absl::StartsWith(mount.target, "/sys/fs/cgroup/")) continue;
    shown.push_back(absl::StrCat(mount.target, " ", mount.fs_type));
  }
  std::vector<std::string> expected = {
      "/ overlay",
      "/proc proc",
      "/dev tmpfs",
      "/dev/pts devpts",
      "/dev/mqueue mqueue",
      "/sys sysfs",
      absl::StrCat("/sys/fs/cgroup ",
                   host_->cgroups().layout() == os::CgroupLayout::kV2 ? "cgroup2" : "tmpfs"),
      "/dev/shm tmpfs"};
  // Masks and protections come last, as far as this kernel has the paths.
  for (const char* path : {"/proc/kcore", "/proc/keys", "/proc/timer_list"}) {
    if (access(path, F_OK) == 0) expected.push_back(absl::StrCat(path, " tmpfs"));
  }
  for (const char* path : {"/proc/scsi", "/proc/acpi", "/sys/firmware"}) {
    if (access(path, F_OK) == 0) expected.push_back(absl::StrCat(path, " tmpfs"));
  }
  for (const char* path : {"/proc/sys", "/proc/bus", "/proc/fs"}) {
    if (access(path, F_OK) == 0) expected.push_back(absl::StrCat(path, " proc"));
  }
  EXPECT_THAT(shown, ::testing::ElementsAreArray(expected));

  EXPECT_TRUE(HasOption(*FindMount(mounts, "/sys"), "ro"));
  EXPECT_TRUE(HasOption(*FindMount(mounts, "/sys/fs/cgroup"), "ro"));
  EXPECT_TRUE(HasOption(*FindMount(mounts, "/proc/sys"), "ro"));
  EXPECT_TRUE(HasOption(*FindMount(mounts, "/proc"), "rw"));
  EXPECT_TRUE(HasOption(*FindMount(mounts, "/proc"), "noexec"));
  const std::string pts = FindMount(mounts, "/dev/pts")->super_options;
  EXPECT_THAT(pts, HasSubstr("gid=5"));
  EXPECT_THAT(pts, HasSubstr("ptmxmode=666"));
  const std::string root = FindMount(mounts, "/")->super_options;
  for (const char* option : {"redirect_dir=on", "metacopy=on", "index=on"}) {
    EXPECT_THAT(root, Not(HasSubstr(option)));
  }
  EXPECT_THAT(root, HasSubstr("volatile"));
}

TEST_F(CreateTest, CgroupsAreShownFromTheContainersOwnGroupAndReadOnly) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  UseKubernetesMounts(&c.spec());
  c.Run();
  for (absl::string_view line :
       absl::StrSplit(c.Exec("cat /proc/self/cgroup"), '\n', absl::SkipEmpty())) {
    const bool in_group = absl::EndsWith(line, ":/") || absl::StrContains(line, ":/exec-");
    EXPECT_TRUE(in_group) << line;
  }
  const auto table = os::ReadFile(absl::StrCat("/proc/", c.launched().init_pid, "/cgroup"), 65536);
  for (absl::string_view line : absl::StrSplit(*table, '\n', absl::SkipEmpty())) {
    if (!absl::EndsWith(line, c.group())) {
      // Only a hierarchy that this host does not mount may be left out.
      ADD_FAILURE() << "not joined: " << line;
    }
  }
  if (host_->cgroups().layout() != os::CgroupLayout::kV2) {
    EXPECT_THAT(c.Exec("cat /sys/fs/cgroup/memory/cgroup.procs"), HasSubstr("1\n"));
    EXPECT_EQ(
        c.Exec("mkdir() { busybox mkdir \"$@\"; }; mkdir /sys/fs/cgroup/memory/x 2>&1 || true"),
        "mkdir: can't create directory '/sys/fs/cgroup/memory/x': Read-only file system\n");
  }
}

TEST_F(CreateTest, DevHasTheDevicesAndLinksOfTheText) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  UseKubernetesMounts(&c.spec());
  c.spec().linux_.devices = {{"/dev/sub/fuse", 'c', 10, 229, 0640, 7, 8}};
  c.Run();
  EXPECT_EQ(c.Exec("cd /dev; busybox stat -c '%n %a %t:%T %u:%g' null zero full random urandom tty "
                   "sub/fuse"),
            "null 666 1:3 0:0\nzero 666 1:5 0:0\nfull 666 1:7 0:0\nrandom 666 1:8 0:0\n"
            "urandom 666 1:9 0:0\ntty 666 5:0 0:0\nsub/fuse 640 a:e5 7:8\n");
  EXPECT_EQ(c.Exec("cd /dev; for l in fd stdin stdout stderr ptmx; do readlink $l; done"),
            "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n");
}

TEST_F(CreateTest, WhereMknodIsRefusedTheHostsNodesAreBound) {
  if (!host_->cgroups().Has("devices")) GTEST_SKIP() << "no device controller";
  TestContainer c(host_, {"/bin/sleep", "1000"});
  UseKubernetesMounts(&c.spec());
  c.spec().linux_.resources.devices = {{false, 'a', {}, {}, "rwm"}, {true, 'c', {}, {}, "rw"}};
  c.Run();
  EXPECT_EQ(c.Exec("cd /dev; busybox stat -c '%n %t:%T' null zero full random urandom tty"),
            "null 1:3\nzero 1:5\nfull 1:7\nrandom 1:8\nurandom 1:9\ntty 5:0\n");
  EXPECT_EQ(FindMount(MountsOf(c.launched().init_pid), "/dev/null")->fs_type, "devtmpfs");
  EXPECT_EQ(c.Exec("echo x > /dev/null; head -c 1 /dev/zero | wc -c; cat /proc/keys"), "1\n");
}

TEST_F(CreateTest, MaskedPathsShowNothingAndProtectedOnesCannotBeWritten) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  UseKubernetesMounts(&c.spec());
  c.spec().linux_.masked_paths.push_back("/proc/version");
  c.spec().linux_.masked_paths.push_back("/proc/fs");
  c.Run();
  EXPECT_EQ(c.Exec("cat /proc/version /proc/keys"), "");
  EXPECT_EQ(c.Exec("ls /proc/fs /sys/firmware 2>&1"), "/proc/fs:\n\n/sys/firmware:\n");
  EXPECT_EQ(c.Exec("(echo x > /proc/sys/kernel/domainname) 2>/dev/null || echo refused"),
            "refused\n");
  EXPECT_EQ(c.Exec("(echo x > /proc/fs/x) 2>/dev/null || echo refused"), "refused\n");
}

TEST_F(CreateTest, UserGroupsUmaskAndDirectoryAreTheSpecs) {
  TestContainer c(host_,
                  Shell("id -u; id -g; id -G; umask; busybox pwd; cat /proc/self/oom_score_adj;"
                        " echo err > /dev/stderr; echo out > /dev/stdout"));
  c.spec().process.user = {1000, 1001, 0027, {1001, 2000, 3000}};
  c.spec().process.cwd = "/made/for/me";
  c.spec().process.oom_score_adj = 555;
  c.Run();
  EXPECT_EQ(c.AwaitExit().exit_code, 0);
  EXPECT_THAT(c.Log(), IsSupersetOf({"stdout F 1000", "stdout F 1001", "stdout F 1001 2000 3000",
                                     "stdout F 0027", "stdout F /made/for/me", "stdout F 555",
                                     "stderr F err", "stdout F out"}));
}

TEST_F(CreateTest, AnExecHasTheIdentityOfTheFirstProcess) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().process.user = {1000, 1001, 0027, {1001, 2000}};
  c.spec().process.cwd = "/made/for/me";
  c.spec().process.oom_score_adj = 555;
  c.spec().process.env.push_back("KEY=\xFF");
  c.spec().process.rlimits = {{"RLIMIT_NOFILE", 2048, 1024}};
  c.Run();
  EXPECT_EQ(c.Exec("id -u; id -g; id -G; umask; busybox pwd; cat /proc/self/oom_score_adj; "
                   "ulimit -n; ulimit -Hn; echo $KEY; echo err > /dev/stderr"),
            "1000\n1001\n1001 2000\n0027\n/made/for/me\n555\n1024\n2048\n\xFF\n");
  for (const char* name : {"pid", "mnt", "ipc", "uts", "cgroup", "net"}) {
    const std::string link = Link(absl::StrCat("/proc/", c.launched().init_pid, "/ns/", name));
    EXPECT_EQ(c.Exec(absl::StrCat("readlink /proc/self/ns/", name)), link + "\n");
  }
}

TEST_F(CreateTest, ADirectoryThatTheUserCannotSearchIsEnteredAllTheSame) {
  TestContainer c(host_, Shell("busybox pwd"));
  ExtraLayer layer(host_, &c);
  ASSERT_EQ(mkdir((layer / "private").c_str(), 0700), 0);
  c.spec().process.user.uid = 1000;
  c.spec().process.cwd = "/private";
  c.Run();
  EXPECT_EQ(c.AwaitExit().exit_code, 0);
  EXPECT_THAT(c.Log(), ElementsAre("stdout F /private"));
}

TEST_F(CreateTest, CapabilitiesAreExactlyTheSpecs) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  oci::Capabilities& caps = c.spec().process.capabilities;
  caps.bounding = {"CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  caps.permitted = caps.effective = caps.bounding;
  c.Run();
  for (const char* set : {"CapBnd", "CapPrm", "CapEff"}) {
    EXPECT_EQ(StatusField(c.launched().init_pid, set), "0000000000000421") << set;
  }
  EXPECT_EQ(StatusField(c.launched().init_pid, "CapInh"), "0000000000000000");
  EXPECT_EQ(c.Exec("grep Cap /proc/self/status | busybox tr -d '\\t'"),
            "CapInh:0000000000000000\nCapPrm:0000000000000421\nCapEff:0000000000000421\n"
            "CapBnd:0000000000000421\nCapAmb:0000000000000000\n");
}

TEST_F(CreateTest, AUserKeepsOnlyAmbientCapabilities) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().process.user.uid = 1000;
  oci::Capabilities& caps = c.spec().process.capabilities;
  caps.bounding = {"CAP_CHOWN", "CAP_KILL"};
  caps.permitted = caps.effective = {"CAP_CHOWN", "CAP_KILL"};
  caps.inheritable = caps.ambient = {"CAP_KILL"};
  c.Run();
  EXPECT_EQ(StatusField(c.launched().init_pid, "CapBnd"), "0000000000000021");
  EXPECT_EQ(StatusField(c.launched().init_pid, "CapEff"), "0000000000000020");
  EXPECT_EQ(StatusField(c.launched().init_pid, "CapAmb"), "0000000000000020");
}

TEST_F(CreateTest, SeccompIsLoadedWithAndWithoutNoNewPrivs) {
  for (const bool no_new_privs : {false, true}) {
    for (const uid_t uid : {0U, 1000U}) {
      SCOPED_TRACE(absl::StrCat("no_new_privs ", no_new_privs, " uid ", uid));
      TestContainer c(host_, {"/bin/sleep", "1000"});
      c.spec().process.no_new_privileges = no_new_privs;
      c.spec().process.user.uid = uid;
      c.launch().seccomp.program = FilterWithoutMkdir();
      c.Run();
      EXPECT_EQ(StatusField(c.launched().init_pid, "Seccomp"), "2");
      EXPECT_EQ(StatusField(c.launched().init_pid, "NoNewPrivs"), no_new_privs ? "1" : "0");
      EXPECT_EQ(StatusField(c.launched().init_pid, "CapEff"), "0000000000000000");
      EXPECT_EQ(c.Exec("busybox mkdir /tmp/x 2>&1 || true"),
                "mkdir: can't create directory '/tmp/x': Operation not permitted\n");
      EXPECT_EQ(c.Exec("grep -E 'Seccomp:|NoNew' /proc/self/status | busybox tr -d '\\t'"),
                absl::StrCat("NoNewPrivs:", no_new_privs ? 1 : 0, "\nSeccomp:2\n"));
    }
  }
}

TEST_F(CreateTest, RlimitsAreSet) {
  TestContainer c(host_, Shell("ulimit -n; ulimit -Hn; ulimit -c"));
  c.spec().process.rlimits = {{"RLIMIT_NOFILE", 2048, 1024}, {"RLIMIT_CORE", 0, 0}};
  c.Run();
  EXPECT_EQ(c.AwaitExit().exit_code, 0);
  EXPECT_THAT(c.Log(), ElementsAre("stdout F 1024", "stdout F 2048", "stdout F 0"));
}

TEST_F(CreateTest, EnvironmentBytesArriveAsTheyAre) {
  TestContainer c(host_, Shell("echo \"$BYTES\" | busybox od -An -tx1; echo \"$EMPTY.\""));
  c.spec().process.env = {"PATH=/bin", "BYTES=\x01\x80\xFF\xC3\xA4", "EMPTY="};
  c.Run();
  EXPECT_EQ(c.AwaitExit().exit_code, 0);
  EXPECT_THAT(c.Log(), ElementsAre("stdout F  01 80 ff c3 a4 0a", "stdout F ."));
}

TEST_F(CreateTest, NoDescriptorOfTheHostReachesTheContainer) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.Run();
  const auto fd_dir = os::Open(absl::StrCat("/proc/", c.launched().init_pid, "/fd"), O_RDONLY);
  ASSERT_TRUE(fd_dir.ok());
  EXPECT_THAT(*os::ListDir(fd_dir->get(), "."), ElementsAre("0", "1", "2"));
  // The descriptor 3 of ls is the directory that it lists.
  EXPECT_EQ(c.Exec("ls /proc/self/fd"), "0\n1\n2\n3\n");
  EXPECT_EQ(c.Exec("readlink /proc/1/fd/0; readlink /proc/self/fd/0"), "/dev/null\n/dev/null\n");
}

TEST_F(CreateTest, TheFirstProcessIsClosedToOthersUntilExec) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().process.user.uid = 1000;
  const absl::Status created = c.Create();
  ASSERT_TRUE(created.ok()) << created;
  const std::string proc = absl::StrCat("/proc/", c.launched().init_pid);
  // A process that may be dumped belongs to its user; one that may not, to root.
  struct stat st;
  ASSERT_EQ(stat((proc + "/mem").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 0U);
  const auto fd_dir = os::Open(proc + "/fd", O_RDONLY);
  ASSERT_TRUE(fd_dir.ok());
  // Standard streams, report pipe, gate.
  EXPECT_THAT(*os::ListDir(fd_dir->get(), "."), ElementsAre("0", "1", "2", "3", "4"));
}

TEST_F(CreateTest, TreesAreBoundWithTheirOptions) {
  const std::string source = host_->dir() + "/source";
  ASSERT_TRUE(os::MakeDirs(source + "/below", 0755).ok());
  ASSERT_TRUE(os::Open(source + "/file", O_WRONLY | O_CREAT, 0644).ok());
  {
    TestContainer c(host_, {"/bin/sleep", "1000"});
    const auto bind = [&](const std::string& from, const std::string& to,
                          std::vector<std::string> options) {
      absl::StatusOr<os::DetachedMount> tree = os::CloneTree(AT_FDCWD, from, true);
      ASSERT_TRUE(tree.ok()) << tree.status();
      options.push_back("rbind");
      c.spec().mounts.push_back({to, "bind", from, options});
      c.launch().mount_trees.emplace_back(static_cast<int>(c.spec().mounts.size()) - 1,
                                          *std::move(tree));
    };
    bind(source, "/vol", {"rprivate", "rw"});
    bind(source, "/new/dir", {"rprivate", "ro", "nosuid", "nodev", "noexec"});
    bind(source, "/all-ro", {"rro"});
    bind(source + "/file", "/etc/new-file", {"rprivate", "ro"});
    c.Run();
    const std::vector<os::MountEntry> mounts = MountsOf(c.launched().init_pid);
    for (const char* option : {"ro", "nosuid", "nodev", "noexec"}) {
      EXPECT_TRUE(HasOption(*FindMount(mounts, "/new/dir"), option)) << option;
    }
    EXPECT_TRUE(HasOption(*FindMount(mounts, "/all-ro"), "ro"));
    EXPECT_EQ(c.Exec("echo hello > /vol/file; cat /new/dir/file /etc/new-file"), "hello\nhello\n");
    EXPECT_EQ(c.Exec("(echo x > /etc/new-file) 2>&1 | grep -o Read-only || true"), "Read-only\n");
    EXPECT_EQ(c.Exec("busybox stat -c %F /etc/new-file /new/dir"), "regular file\ndirectory\n");
  }
  EXPECT_TRUE(os::RemoveTree(AT_FDCWD, source).ok());
}

TEST_F(CreateTest, AReadOnlyRootTakesNoWritesButItsMountsDo) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  UseKubernetesMounts(&c.spec());
  c.spec().root_readonly = true;
  c.spec().process.cwd = "/made/before";
  c.Run();
  EXPECT_EQ(c.Exec("(echo x > /x) 2>/dev/null || echo refused; echo x > /dev/shm/x; busybox pwd"),
            "refused\n/made/before\n");
}

TEST_F(CreateTest, LinksOfTheImageAreFollowedInsideTheRoot) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  ExtraLayer layer(host_, &c);
  ASSERT_EQ(mkdir((layer / "var").c_str(), 0755), 0);
  ASSERT_EQ(symlink("/run", (layer / "var/run").c_str()), 0);  // dangling: no /run
  ASSERT_EQ(symlink("../../../../tmp", (layer / "up").c_str()),
            0);  // would leave a chroot-less path
  c.spec().mounts.push_back({"/var/run/secrets/x", "tmpfs", "tmpfs", {}});
  c.spec().mounts.push_back({"/up/host", "tmpfs", "tmpfs", {}});
  c.Run();
  const std::vector<os::MountEntry> mounts = MountsOf(c.launched().init_pid);
  FindMount(mounts, "/run/secrets/x");
  FindMount(mounts, "/tmp/host");
  EXPECT_NE(access("/tmp/host", F_OK), 0);
}

TEST_F(CreateTest, NamespacedSysctlsAreSetAndOthersRefused) {
  {
    TestContainer c(host_, {"/bin/sleep", "1000"});
    c.spec().linux_.sysctl = {{"kernel.shm_rmid_forced", "1"}, {"fs.mqueue.msg_max", "13"}};
    c.Run();
    EXPECT_EQ(c.Exec("cat /proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/msg_max"),
              "1\n13\n");
  }
  TestContainer c(host_, {"/bin/true"});
  c.spec().linux_.sysctl = {{"net.ipv4.ip_forward", "1"}};
  const absl::Status status = c.Create();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("linux.sysctl[\"net.ipv4.ip_forward\"]"));
}

TEST_F(CreateTest, AHostPidNamespaceWorks) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().linux_.namespaces.erase(c.spec().linux_.namespaces.begin());
  c.Run();
  EXPECT_EQ(Link(absl::StrCat("/proc/", c.launched().init_pid, "/ns/pid")),
            Link("/proc/self/ns/pid"));
  EXPECT_EQ(c.Exec(absl::StrCat("cat /proc/", c.launched().init_pid, "/comm")), "sleep\n");
}

TEST_F(CreateTest, ProcAndSysMustBeRealDirectories) {
  for (const char* name : {"proc", "sys"}) {
    SCOPED_TRACE(name);
    TestContainer c(host_, {"/bin/true"});
    ExtraLayer layer(host_, &c);
    ASSERT_EQ(symlink("/tmp", (layer / name).c_str()), 0);
    c.spec().mounts = {{absl::StrCat("/", name), name[0] == 'p' ? "proc" : "sysfs", "", {}}};
    const absl::Status status = c.Create();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(
        std::string(status.message()),
        ::testing::EndsWith(absl::StrCat("mount: /", name, ": Too many levels of symbolic links")));
  }
}

TEST_F(CreateTest, TheCommandIsFoundOnThePathOfItsOwnEnvironment) {
  TestContainer c(host_, {"true"});
  c.spec().process.env = {"PATH=/none:/etc:/bin"};
  c.Run();
  EXPECT_EQ(c.AwaitExit().exit_code, 0);
}

}  // namespace
}  // namespace berth::shim
