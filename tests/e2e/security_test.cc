// What a container may do and what becomes of it: seccomp profiles of the node, supplementary
// groups, out of memory, commands whose caller left.
#include <fcntl.h>

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/os/file.h"
#include "tests/e2e/e2e.h"
#include "tests/images/archive_writer.h"

namespace berth::testing {
namespace {

class Security : public E2e {
 protected:
  std::string WriteFile(const std::string& name, const std::string& text) {
    std::string path = absl::StrCat(daemon().dir(), "/", name);
    absl::StatusOr<os::UniqueFd> file = os::Open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    EXPECT_TRUE(file.ok() && os::WriteAll(file->get(), text).ok()) << file.status();
    return path;
  }
  cri::ContainerConfig WithProfile(const std::string& script, const std::string& path) {
    cri::ContainerConfig config = ContainerConfig(script);
    cri::SecurityProfile* profile =
        config.mutable_linux()->mutable_security_context()->mutable_seccomp();
    profile->set_profile_type(cri::SecurityProfile::Localhost);
    profile->set_localhost_ref(path);
    return config;
  }
  static constexpr char kNoChmod[] =
      R"({"defaultAction": "SCMP_ACT_ALLOW",
          "syscalls": [{"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO"}]})";
};

TEST_F(Security, AProfileOfTheNodeIsInForceForTheFirstProcessAndForExecs) {
  const std::string path = WriteFile("no-chmod.json", kNoChmod);
  const std::string script = "chmod 400 / 2>&1; grep ^Seccomp: /proc/self/status";
  cri::PodSandboxConfig pod_config = PodConfig();
  *pod_config.mutable_linux()->mutable_security_context()->mutable_seccomp() =
      WithProfile("", path).linux().security_context().seccomp();
  const std::string pod = RunPod(pod_config);
  const std::string id = Create(pod, WithProfile(script + "; sleep 1000", path));
  ASSERT_EQ(unlink(path.c_str()), 0);  // read by the create
  Start(id);
  const std::string refused = "chmod: /: Operation not permitted\nSeccomp:\t2\n";
  EXPECT_EQ(Shell(id, script), refused);
  EXPECT_TRUE(Eventually([&] { return LogLines().size() == 2; }, absl::Seconds(10)));
  EXPECT_EQ(LogLines()[0], "stdout F chmod: /: Operation not permitted");
}

TEST_F(Security, APrivilegedContainerHasNoProfile) {
  cri::PodSandboxConfig pod_config = PodConfig();
  pod_config.mutable_linux()->mutable_security_context()->set_privileged(true);
  const std::string pod = RunPod(pod_config);
  cri::ContainerConfig config = WithProfile("grep ^Seccomp: /proc/self/status", "/no/such/file");
  config.mutable_linux()->mutable_security_context()->set_privileged(true);
  const std::string id = Create(pod, config);
  Start(id);
  WaitExit(id);
  EXPECT_THAT(LogLines(), ::testing::ElementsAre("stdout F Seccomp:\t0"));
}

TEST_F(Security, AProfileThatCannotBeUsedIsRefusedByFileAndPlace) {
  const std::string pod = RunPod(PodConfig());
  const auto refused = [&](const std::string& path, const std::string& words) {
    EXPECT_THAT(TryCreate(pod, WithProfile("true", path), PodConfig(), nullptr),
                StatusIs(grpc::StatusCode::INVALID_ARGUMENT,
                         ::testing::AllOf(HasSubstr(path), HasSubstr(words))));
  };
  refused(daemon().dir() + "/none.json", "No such file or directory");
  refused(daemon().dir(), "not a regular file");
  refused(WriteFile("broken.json", "{\n  \"defaultAction\": SCMP_ACT_ALLOW\n}"),
          "line 2, column 20: not valid JSON");
  refused(WriteFile("action.json", R"({"defaultAction": "SCMP_ACT_ALLOW",
                                       "syscalls": [{"names": ["read"], "action": "DENY"}]})"),
          "syscalls[0].action: unknown action \"DENY\"");
  refused("relative.json", "not a clean absolute path");
}

class Groups : public Security {
 protected:
  void SetUp() override {
    Security::SetUp();
    absl::StatusOr<std::string> busybox = os::ReadFile("/bin/busybox", 16 << 20);
    ASSERT_TRUE(busybox.ok()) << busybox.status();
    test::TestImage image;
    image.names = {"groups:test"};
    image.layers = {test::MakeTar(
        {test::Dir("bin"), test::File("bin/busybox", *busybox, 0755),
         test::Symlink("bin/sh", "busybox"), test::Symlink("bin/id", "busybox"),
         test::Symlink("bin/sleep", "busybox"), test::Dir("etc"),
         test::File("etc/passwd", "member:x:1000:1000::/:/bin/sh\n"),
         test::File("etc/group", "member:x:1000:\nof-image:x:50000:member\nother:x:50001:\n")})};
    const std::string archive = WriteFile("groups.tar", test::DockerArchive({image}));
    ASSERT_EQ(daemon().Ctl({"image", "import", archive}).exit_code, 0);
    ASSERT_EQ(unlink(archive.c_str()), 0);
    pod_ = RunPod(PodConfig());
  }
  void TearDown() override {
    RemovePod(pod_);
    EXPECT_EQ(daemon().Ctl({"image", "rm", "groups:test"}).exit_code, 0);
    Security::TearDown();
  }
  // User 1000 with the group 1234 asked for: what its processes have, and what status tells.
  void Expect(cri::SupplementalGroupsPolicy policy, const std::string& groups) {
    cri::ContainerConfig config = ContainerConfig("sleep 1000");
    config.mutable_image()->set_image("groups:test");
    cri::LinuxContainerSecurityContext* security =
        config.mutable_linux()->mutable_security_context();
    security->mutable_run_as_user()->set_value(1000);
    security->add_supplemental_groups(1234);
    security->set_supplemental_groups_policy(policy);
    const std::string id = Create(pod_, config);
    Start(id);
    EXPECT_EQ(Shell(id, "id -G"), groups + "\n");
    const cri::LinuxContainerUser user = Status(id).user().linux();
    EXPECT_EQ(user.uid(), 1000);
    EXPECT_EQ(user.gid(), 1000);
    std::vector<int64_t> told(user.supplemental_groups().begin(), user.supplemental_groups().end());
    std::sort(told.begin(), told.end());
    EXPECT_EQ(absl::StrJoin(told, " "), groups);
  }

 private:
  std::string pod_;
};

TEST_F(Groups, OfTheImageAreMergedByDefault) {
  cri::StatusResponse status;
  ASSERT_TRUE(runtime_->Status(Within(absl::Seconds(10)).get(), {}, &status).ok());
  EXPECT_TRUE(status.features().supplemental_groups_policy());
  Expect(cri::Merge, "1000 1234 50000");
}

TEST_F(Groups, OfTheImageAreLeftOutWhereThePolicyIsStrict) { Expect(cri::Strict, "1000 1234"); }

TEST_F(Security, AContainerOutOfItsMemoryEndsAsOomKilled) {
  cri::ContainerConfig config = ContainerConfig("exec dd if=/dev/zero of=/dev/null bs=256M");
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(16 << 20);
  const auto [pod, id] = RunContainer(config);
  const cri::ContainerStatus status = WaitExit(id);
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_EQ(status.reason(), "OOMKilled");
}

// As the peers: any kill in the cgroup is told, whatever the first process makes of it.
TEST_F(Security, AChildThatIsOomKilledIsToldToo) {
  cri::ContainerConfig config =
      ContainerConfig("dd if=/dev/zero of=/dev/null bs=256M; echo $?; exit 0");
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(16 << 20);
  const auto [pod, id] = RunContainer(config);
  const cri::ContainerStatus status = WaitExit(id);
  EXPECT_EQ(status.exit_code(), 0);
  EXPECT_EQ(status.reason(), "OOMKilled");
  EXPECT_THAT(LogLines(), ::testing::Contains("stdout F 137"));
}

TEST_F(Security, ACommandWithoutTimeLimitEndsWhenItsCallerLeaves) {
  const auto [pod, id] = RunContainer(ContainerConfig("exec sleep 1000"));
  grpc::ClientContext context;
  grpc::Status status;
  std::thread caller([&, id = id] {
    cri::ExecSyncRequest request;
    request.set_container_id(id);
    for (const char* arg : {"/bin/sh", "-c", "(setsid sleep 4444 &) ; sleep 4444; true"}) {
      request.add_cmd(arg);
    }
    cri::ExecSyncResponse response;
    status = runtime_->ExecSync(&context, request, &response);
  });
  const auto count = [&, id = id] {
    return Shell(id, "ps -o args | grep -c '^sleep 4444' || true");
  };
  EXPECT_TRUE(Eventually([&] { return count() == "2\n"; }, absl::Seconds(10)));
  context.TryCancel();
  caller.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([&] { return count() == "0\n"; }, absl::Seconds(10)));
}

}  // namespace
}  // namespace berth::testing
