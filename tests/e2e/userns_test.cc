// Pods with a user namespace, and mounts as kubelet asks for them: propagation, read-only all the
// way down, volumes that a node takes back.
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "base/os/spawn.h"
#include "tests/e2e/e2e.h"

namespace berth::testing {
namespace {

using ::testing::EndsWith;

constexpr uint32_t kFirst = 300000;  // the container's root on the host

class Mounts : public E2e {
 protected:
  void SetUp() override {
    E2e::SetUp();
    dir_ = absl::StrCat(daemon().dir(), "/volume");
    ASSERT_TRUE(os::MakeDirs(dir_, 0755).ok());
  }
  void TearDown() override {
    E2e::TearDown();
    EXPECT_TRUE(os::RemoveTree(AT_FDCWD, dir_).ok());
  }

  static void SetMapping(google::protobuf::RepeatedPtrField<cri::IDMapping>* mappings) {
    cri::IDMapping* mapping = mappings->Add();
    mapping->set_host_id(kFirst);
    mapping->set_length(65536);
  }
  cri::PodSandboxConfig UserPod() const {
    cri::PodSandboxConfig config = PodConfig();
    cri::UserNamespace* user = config.mutable_linux()
                                   ->mutable_security_context()
                                   ->mutable_namespace_options()
                                   ->mutable_userns_options();
    user->set_mode(cri::POD);
    SetMapping(user->mutable_uids());
    SetMapping(user->mutable_gids());
    return config;
  }
  // Not for a pod with a user namespace.
  cri::PodSandboxConfig PrivilegedPod() const {
    cri::PodSandboxConfig config = PodConfig();
    config.mutable_linux()->mutable_security_context()->set_privileged(true);
    return config;
  }
  cri::ContainerConfig WithVolume(const std::string& script, cri::MountPropagation propagation =
                                                                 cri::PROPAGATION_PRIVATE) const {
    cri::ContainerConfig config = ContainerConfig(script);
    cri::Mount* mount = config.add_mounts();
    mount->set_container_path("/vol");
    mount->set_host_path(dir_);
    mount->set_propagation(propagation);
    return config;
  }
  static absl::Status MountTmpfs(const std::string& at) {
    return mount("berth-test", at.c_str(), "tmpfs", 0, "size=64k") == 0
               ? absl::OkStatus()
               : absl::InternalError(absl::StrCat("mount ", at, ": errno ", errno));
  }
  bool IsMounted(const std::string& path) const {
    const absl::StatusOr<os::MountEntry> entry = os::MountOf(path);
    return entry.ok() && entry->target == path;
  }

  std::string dir_;
};

// The volume as a mount of its own, of the given propagation, until the end.
class VolumeMount {
 public:
  VolumeMount(std::string dir, unsigned long propagation) : dir_(std::move(dir)) {
    EXPECT_EQ(mount("berth-test", dir_.c_str(), "tmpfs", 0, "size=1m"), 0);
    EXPECT_EQ(mount(nullptr, dir_.c_str(), nullptr, propagation, nullptr), 0);
    EXPECT_EQ(mkdir((dir_ + "/sub").c_str(), 0755), 0);
    EXPECT_EQ(mkdir((dir_ + "/inside").c_str(), 0755), 0);
  }
  VolumeMount(const VolumeMount&) = delete;
  VolumeMount& operator=(const VolumeMount&) = delete;
  ~VolumeMount() { EXPECT_EQ(umount2(dir_.c_str(), MNT_DETACH), 0); }

 private:
  const std::string dir_;
};

TEST_F(Mounts, PropagationIsWhatWasAskedFor) {
  const struct {
    cri::MountPropagation asked;
    bool in;   // what the host mounts later is seen inside
    bool out;  // and the other way round
  } cases[] = {{cri::PROPAGATION_PRIVATE, false, false},
               {cri::PROPAGATION_HOST_TO_CONTAINER, true, false},
               {cri::PROPAGATION_BIDIRECTIONAL, true, true}};
  for (const auto& c : cases) {
    SCOPED_TRACE(cri::MountPropagation_Name(c.asked));
    const VolumeMount volume(dir_, MS_SHARED);
    const std::string pod = RunPod(PrivilegedPod());
    cri::ContainerConfig config = WithVolume("sleep 1000", c.asked);
    config.mutable_linux()->mutable_security_context()->set_privileged(true);
    const std::string id = Create(pod, config);
    Start(id);
    ASSERT_TRUE(MountTmpfs(dir_ + "/sub").ok());
    EXPECT_EQ(Shell(id, "grep -c ' /vol/sub ' /proc/self/mountinfo || true"), c.in ? "1\n" : "0\n");
    Shell(id, "mount -t tmpfs berth-test /vol/inside");
    EXPECT_EQ(IsMounted(dir_ + "/inside"), c.out);
    Stop(id);
    RemovePod(pod);
    if (c.out) EXPECT_EQ(umount2((dir_ + "/inside").c_str(), 0), 0);  // the host's own now
    EXPECT_EQ(umount2((dir_ + "/sub").c_str(), 0), 0);
  }
}

TEST_F(Mounts, PropagationThatTheSourceCannotGiveIsRefused) {
  const VolumeMount volume(dir_, MS_PRIVATE);
  const std::string pod = RunPod(PodConfig());
  for (const auto propagation :
       {cri::PROPAGATION_HOST_TO_CONTAINER, cri::PROPAGATION_BIDIRECTIONAL}) {
    EXPECT_THAT(TryCreate(pod, WithVolume("true", propagation), PodConfig(), nullptr),
                StatusIs(grpc::StatusCode::FAILED_PRECONDITION,
                         ::testing::AllOf(HasSubstr(dir_), HasSubstr("shared"))));
  }
}

TEST_F(Mounts, ReadOnlyGoesAllTheWayDownWhenAskedTo) {
  const VolumeMount volume(dir_, MS_PRIVATE);
  ASSERT_TRUE(MountTmpfs(dir_ + "/sub").ok());
  for (const bool recursive : {false, true}) {
    cri::ContainerConfig config = WithVolume(
        "echo x 2>/dev/null > /vol/f || echo top; echo x 2>/dev/null > /vol/sub/f || echo sub");
    config.mutable_mounts(0)->set_readonly(true);
    config.mutable_mounts(0)->set_recursive_read_only(recursive);
    const std::string pod = RunPod(PodConfig());
    const std::string id = Create(pod, config);
    Start(id);
    WaitExit(id);
    EXPECT_EQ(LogLines().size(), recursive ? 2U : 1U);
    RemovePod(pod);
    ASSERT_EQ(unlink(LogPath().c_str()), 0);
  }
  EXPECT_EQ(umount2((dir_ + "/sub").c_str(), 0), 0);
}

TEST_F(Mounts, APodWithAUserNamespaceIsRootInsideOnly) {
  const std::string pod = RunPod(UserPod());
  ASSERT_EQ(chown(dir_.c_str(), 0, 0), 0);
  ASSERT_EQ(chmod(dir_.c_str(), 0777), 0);
  cri::ContainerConfig config = WithVolume("sleep 1000");
  SetMapping(config.mutable_mounts(0)->mutable_uidmappings());
  SetMapping(config.mutable_mounts(0)->mutable_gidmappings());
  cri::Mount* plain = config.add_mounts();
  plain->set_container_path("/plain");
  plain->set_host_path(dir_);
  const std::string id = Create(pod, config);
  Start(id);
  EXPECT_EQ(Shell(id, "id -u; cat /proc/self/uid_map | tr -s ' '"),
            absl::StrCat("0\n 0 ", kFirst, " 65536\n"));
  Shell(id, "echo x > /vol/mapped; echo x > /plain/unmapped; echo y >> /etc/hosts");
  struct stat st;
  ASSERT_EQ(stat((dir_ + "/mapped").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 0U);
  ASSERT_EQ(stat((dir_ + "/unmapped").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, kFirst);
  EXPECT_EQ(Shell(id, "stat -c %u /vol/mapped /plain/mapped /plain/unmapped /bin/busybox"),
            "0\n65534\n0\n0\n");
  // A second container of the pod is in the same namespaces.
  const std::string other = Create(pod, ContainerConfig("sleep 1000", "other"));
  Start(other);
  const std::string links = "for n in user ipc uts; do readlink /proc/self/ns/$n; done";
  EXPECT_EQ(Shell(id, links), Shell(other, links));
}

TEST_F(Mounts, ASharedPidNamespaceBelongsToTheUserNamespace) {
  cri::PodSandboxConfig pod_config = UserPod();
  pod_config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
      cri::POD);
  const std::string pod = RunPod(pod_config);
  cri::ContainerConfig config = ContainerConfig("sleep 1000");
  *config.mutable_linux()->mutable_security_context()->mutable_namespace_options() =
      pod_config.linux().security_context().namespace_options();
  const std::string id = Create(pod, config);
  Start(id);
  EXPECT_THAT(Shell(id, "cat /proc/1/comm; stat -c %u /proc/1; id -u"), EndsWith("0\n"));
  EXPECT_EQ(Shell(id, "[ $$ != 1 ] && echo other"), "other\n");
}

TEST_F(Mounts, AUserNamespaceSeesWhatTheHostMountsLater) {
  const VolumeMount volume(dir_, MS_SHARED);
  const std::string pod = RunPod(UserPod());
  const std::string id = Create(pod, WithVolume("sleep 1000", cri::PROPAGATION_HOST_TO_CONTAINER));
  Start(id);
  ASSERT_TRUE(MountTmpfs(dir_ + "/sub").ok());
  EXPECT_EQ(Shell(id, "grep -c ' /vol/sub ' /proc/self/mountinfo || true"), "1\n");
  Stop(id);
  EXPECT_EQ(Status(id).state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(umount2((dir_ + "/sub").c_str(), 0), 0);
  RemovePod(pod);
}

TEST_F(Mounts, TheOverlayOfAUserNamespaceIsWhatItIsElsewhere) {
  std::string said[2];
  for (const bool in_user_namespace : {false, true}) {
    const std::string pod = RunPod(in_user_namespace ? UserPod() : PodConfig());
    const std::string id = Create(pod, ContainerConfig("sleep 1000"));
    Start(id);
    // Copy-up, whiteout, opaque directory, rename of a directory of a layer (EXDEV, so mv copies).
    said[in_user_namespace ? 1 : 0] = Shell(id, R"(
      cd /; echo x >> /etc/passwd; tail -n 1 /etc/passwd; stat -c '%u %g %a' /etc/passwd
      rm /bin/yes; ls /bin/yes 2>/dev/null || echo gone
      n=$(ls /bin | wc -l); mv /bin /moved; PATH=/moved; [ $n = $(ls /moved | wc -l) ] && echo same
      ls /bin 2>/dev/null || echo moved
      mkdir /bin; ls -a /bin | wc -l; mv /moved/* /bin; PATH=/bin; stat -c '%u %g' /bin/busybox)");
    RemovePod(pod);
  }
  EXPECT_EQ(said[0], said[1]);
  EXPECT_THAT(said[1], HasSubstr("gone\nsame\nmoved\n2\n0 0\n"));
}

// A loop device with ext4 on it, mounted at a directory.
class LoopVolume {
 public:
  LoopVolume(const std::string& image, std::string dir) : dir_(std::move(dir)) {
    file_ = *os::Open(image, O_RDWR | O_CREAT | O_EXCL, 0600);
    EXPECT_EQ(ftruncate(file_.get(), 8 << 20), 0);
    os::SpawnOptions mkfs;
    mkfs.argv = {"/usr/sbin/mkfs.ext4", "-q", "-F", image};
    mkfs.path = mkfs.argv[0];
    absl::StatusOr<os::Child> child = os::Spawn(mkfs);
    EXPECT_TRUE(child.ok()) << child.status();
    EXPECT_EQ(os::WaitChild(*child, Deadline::After(absl::Seconds(30))).value_or(-1), 0);
    const os::UniqueFd control = *os::Open("/dev/loop-control", O_RDWR);
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    device_ = absl::StrCat("/dev/loop", number);
    loop_ = *os::Open(device_, O_RDWR);
    EXPECT_EQ(ioctl(loop_.get(), LOOP_SET_FD, file_.get()), 0);
  }
  LoopVolume(const LoopVolume&) = delete;
  LoopVolume& operator=(const LoopVolume&) = delete;
  ~LoopVolume() { EXPECT_EQ(ioctl(loop_.get(), LOOP_CLR_FD), 0); }

  int Mount() const { return mount(device_.c_str(), dir_.c_str(), "ext4", 0, "") == 0 ? 0 : errno; }
  int Unmount() const { return umount2(dir_.c_str(), 0) == 0 ? 0 : errno; }
  // errno of an exclusive open: EBUSY while anything holds the file system.
  int OpenExclusive() const {
    const os::UniqueFd fd(open(device_.c_str(), O_RDWR | O_EXCL | O_CLOEXEC));
    return fd.valid() ? 0 : errno;
  }

 private:
  const std::string dir_;
  std::string device_;
  os::UniqueFd file_;
  os::UniqueFd loop_;
};

class BlockVolume : public Mounts, public ::testing::WithParamInterface<bool> {};

TEST_P(BlockVolume, AtExitedTheNodeHasItBack) {
  const bool in_user_namespace = GetParam();
  const int rounds = in_user_namespace ? 20 : 200;
  const std::string image = dir_ + ".img";
  {
    const LoopVolume volume(image, dir_);
    const std::string pod = RunPod(in_user_namespace ? UserPod() : PodConfig());
    for (int i = 0; i < rounds; ++i) {
      ASSERT_EQ(volume.Mount(), 0);
      cri::ContainerConfig config = WithVolume("echo x > /vol/file", cri::PROPAGATION_PRIVATE);
      if (in_user_namespace) {
        SetMapping(config.mutable_mounts(0)->mutable_uidmappings());
        SetMapping(config.mutable_mounts(0)->mutable_gidmappings());
      }
      const std::string id = Create(pod, config);
      Start(id);
      const cri::ContainerStatus status = WaitExit(id);
      const int unmounted = volume.Unmount();
      const int opened = volume.OpenExclusive();
      ASSERT_EQ(unmounted, 0) << "round " << i;
      ASSERT_EQ(opened, 0) << "round " << i;
      ASSERT_EQ(status.exit_code(), 0) << "round " << i;
      Remove(id);
    }
    RemovePod(pod);
  }
  ASSERT_EQ(unlink(image.c_str()), 0);
}

// What the test above relies on: a container that runs holds the device.
TEST_P(BlockVolume, ARunningContainerHoldsItAndStopGivesItBack) {
  const std::string image = dir_ + ".img";
  {
    const LoopVolume volume(image, dir_);
    ASSERT_EQ(volume.Mount(), 0);
    const std::string pod = RunPod(GetParam() ? UserPod() : PodConfig());
    const std::string id = Create(pod, WithVolume("sleep 1000"));
    Start(id);
    EXPECT_EQ(volume.Unmount(), 0);
    EXPECT_EQ(volume.OpenExclusive(), EBUSY);
    Stop(id);
    EXPECT_EQ(volume.OpenExclusive(), 0);
    RemovePod(pod);
  }
  ASSERT_EQ(unlink(image.c_str()), 0);
}

INSTANTIATE_TEST_SUITE_P(E2e, BlockVolume, ::testing::Bool());

}  // namespace
}  // namespace berth::testing
