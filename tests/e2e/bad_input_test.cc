// Bad input to containers: the code that kubelet expects, object, step and cause in the message,
// and (by the fixture's leak check) nothing left.
#include "absl/strings/str_cat.h"
#include "tests/e2e/e2e.h"

namespace berth::testing {
namespace {

class BadInput : public E2e {
 protected:
  void ExpectRefused(const std::function<void(cri::ContainerConfig*)>& edit, grpc::StatusCode code,
                     const std::string& message) {
    if (pod_.empty()) pod_ = RunPod(PodConfig());
    cri::ContainerConfig config = ContainerConfig("true");
    edit(&config);
    std::string id;
    EXPECT_THAT(TryCreate(pod_, config, PodConfig(), &id), StatusIs(code, HasSubstr(message)));
    EXPECT_EQ(id, "");
  }
  std::string pod_;
};

TEST_F(BadInput, AnUnknownImageIsNotFoundByName) {
  ExpectRefused([](auto* c) { c->mutable_image()->set_image("registry.test/none:1"); },
                grpc::StatusCode::NOT_FOUND, "registry.test/none:1");
}

TEST_F(BadInput, AnUnknownPodIsNotFoundById) {
  std::string id;
  EXPECT_THAT(TryCreate(std::string(64, 'b'), ContainerConfig("true"), PodConfig(), &id),
              StatusIs(grpc::StatusCode::NOT_FOUND, HasSubstr(std::string(64, 'b'))));
}

TEST_F(BadInput, MissingMetadataIsNamed) {
  ExpectRefused([](auto* c) { c->mutable_metadata()->clear_name(); },
                grpc::StatusCode::INVALID_ARGUMENT, "metadata.name");
}

TEST_F(BadInput, ALogPathThatClimbsIsRefused) {
  ExpectRefused([](auto* c) { c->set_log_path("../../etc/x"); }, grpc::StatusCode::INVALID_ARGUMENT,
                "log_path");
}

TEST_F(BadInput, AWorkingDirectoryThatIsAFileIsNamed) {
  const std::string pod = RunPod(PodConfig());
  cri::ContainerConfig config = ContainerConfig("true");
  config.set_working_dir("/etc/passwd/sub");
  std::string id;
  const grpc::Status created = TryCreate(pod, config, PodConfig(), &id);
  const grpc::Status status = created.ok() ? TryStart(id) : created;
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.error_message(), HasSubstr("/etc/passwd/sub"));
}

TEST_F(BadInput, ACommandThatDoesNotResolveFailsAtStartWithPathAndCause) {
  const std::string pod = RunPod(PodConfig());
  cri::ContainerConfig config = ContainerConfig("");
  config.clear_command();
  config.add_command("/no/such/binary");
  const std::string id = Create(pod, config);
  const grpc::Status status = TryStart(id);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.error_message(), HasSubstr("/no/such/binary"));
  EXPECT_THAT(status.error_message(), HasSubstr("No such file"));
  const cri::ContainerStatus end = WaitExit(id);
  EXPECT_EQ(end.exit_code(), 128);
  EXPECT_EQ(end.reason(), "StartError");
  EXPECT_THAT(end.message(), HasSubstr("/no/such/binary"));
}

TEST_F(BadInput, ACommandThatIsNotExecutableSaysSo) {
  const std::string pod = RunPod(PodConfig());
  cri::ContainerConfig config = ContainerConfig("");
  config.clear_command();
  config.add_command("/etc/passwd");
  const std::string id = Create(pod, config);
  EXPECT_THAT(TryStart(id).error_message(), HasSubstr("Permission denied"));
}

TEST_F(BadInput, TheSameContainerNameAgainIsTheSameContainer) {
  const std::string pod = RunPod(PodConfig());
  const std::string id = Create(pod, ContainerConfig("sleep 100"));
  EXPECT_EQ(Create(pod, ContainerConfig("sleep 100")), id) << "a retry joins";
  cri::ContainerConfig other = ContainerConfig("sleep 200");
  std::string second;
  const grpc::Status status = TryCreate(pod, other, PodConfig(), &second);
  EXPECT_THAT(status, StatusIs(grpc::StatusCode::ALREADY_EXISTS, HasSubstr("main")))
      << "the name with another config is another object";
}

TEST_F(BadInput, UnknownIdsAreNotFound) {
  const std::string id(64, 'c');
  EXPECT_EQ(TryStart(id).error_code(), grpc::StatusCode::NOT_FOUND);
  cri::ExecSyncResponse exec;
  EXPECT_EQ(TryExec(id, {"true"}, 1, &exec).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(TryStop(id, 0).ok());
  EXPECT_TRUE(TryRemove(id).ok());
  EXPECT_EQ(TryStart("../../etc").error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(BadInput, AUserNumberOutOfRangeIsRefused) {
  ExpectRefused(
      [](auto* c) {
        c->mutable_linux()->mutable_security_context()->mutable_run_as_user()->set_value(
            4294967296);
      },
      grpc::StatusCode::INVALID_ARGUMENT, "4294967296");
}

TEST_F(BadInput, MountTargetsThatClimbStayInside) {
  const std::string pod = RunPod(PodConfig());
  cri::ContainerConfig config = ContainerConfig("sleep 100");
  cri::Mount* mount = config.add_mounts();
  mount->set_host_path("/etc");
  mount->set_container_path("/../../../escape");
  std::string id;
  const grpc::Status status = TryCreate(pod, config, PodConfig(), &id);
  if (status.ok()) {
    Start(id);
    EXPECT_EQ(Shell(id, "ls /escape > /dev/null && echo inside"), "inside\n");
  }
  EXPECT_NE(access("/escape", F_OK), 0);
}

TEST_F(BadInput, AProfileThatIsNotThereIsInvalidAndCdiDevicesAreUnimplementedByName) {
  ExpectRefused(
      [](auto* c) {
        auto* s = c->mutable_linux()->mutable_security_context()->mutable_seccomp();
        s->set_profile_type(cri::SecurityProfile::Localhost);
        s->set_localhost_ref("/x.json");
      },
      grpc::StatusCode::INVALID_ARGUMENT, "/x.json");
  ExpectRefused([](auto* c) { c->add_cdi_devices()->set_name("vendor/class=dev"); },
                grpc::StatusCode::UNIMPLEMENTED, "CDI_devices");
}

}  // namespace
}  // namespace berth::testing
