// The daemon itself: version, status, configuration, locks, sockets, signals, metrics.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "tests/e2e/e2e.h"

namespace berth::testing {
namespace {

class DaemonE2e : public E2e {};

TEST_F(DaemonE2e, VersionHasAllFourFields) {
  cri::VersionResponse response;
  ASSERT_TRUE(runtime_->Version(Within(absl::Seconds(5)).get(), {}, &response).ok());
  EXPECT_NE(response.version(), "");
  EXPECT_EQ(response.runtime_name(), "berth");
  EXPECT_EQ(response.runtime_version(), BERTH_VERSION);
  EXPECT_EQ(response.runtime_api_version(), "v1");
}

TEST_F(DaemonE2e, StatusHasBothConditionsAndTheDefaultHandlerUnderTheEmptyName) {
  cri::StatusResponse response;
  ASSERT_TRUE(runtime_->Status(Within(absl::Seconds(5)).get(), {}, &response).ok());
  std::map<std::string, bool> conditions;
  for (const cri::RuntimeCondition& c : response.status().conditions()) {
    conditions[c.type()] = c.status();
    if (!c.status()) EXPECT_NE(c.reason(), "");
  }
  EXPECT_TRUE(conditions.at("RuntimeReady"));
  EXPECT_FALSE(conditions.at("NetworkReady"));
  std::set<std::string> handlers;
  for (const cri::RuntimeHandler& h : response.runtime_handlers()) handlers.insert(h.name());
  EXPECT_EQ(handlers.count(""), 1u);
  EXPECT_TRUE(response.info().empty());
}

TEST_F(DaemonE2e, RuntimeConfigSaysCgroupfs) {
  cri::RuntimeConfigResponse response;
  ASSERT_TRUE(runtime_->RuntimeConfig(Within(absl::Seconds(5)).get(), {}, &response).ok());
  EXPECT_EQ(response.linux().cgroup_driver(), cri::CGROUPFS);
}

TEST_F(DaemonE2e, WhatIsNotOfferedSaysSoByName) {
  cri::AttachResponse attach;
  EXPECT_THAT(runtime_->Attach(Within(absl::Seconds(5)).get(), {}, &attach),
              StatusIs(grpc::StatusCode::UNIMPLEMENTED, HasSubstr("Attach")));
  cri::StreamContainersRequest request;
  cri::StreamContainersResponse item;
  auto context = Within(absl::Seconds(5));
  auto stream = runtime_->StreamContainers(context.get(), request);
  while (stream->Read(&item)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(DaemonE2e, ASecondDaemonOnTheSameDirectoryIsRefused) {
  const Output second = RunProgram(daemon().argv(), absl::Seconds(30));
  EXPECT_NE(second.exit_code, 0);
  EXPECT_THAT(second.err + second.out, HasSubstr(daemon().data_dir()));
  cri::VersionResponse response;
  EXPECT_TRUE(runtime_->Version(Within(absl::Seconds(5)).get(), {}, &response).ok())
      << "the first one keeps its socket";
}

TEST_F(DaemonE2e, SocketsAndDirectoriesHaveTheirModes) {
  struct stat st;
  ASSERT_EQ(stat(daemon().cri_socket().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0660u);
  ASSERT_EQ(stat(daemon().admin_socket().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(daemon().data_dir().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
  // No abstract socket of ours.
  absl::StatusOr<std::string> sockets = os::ReadFile("/proc/net/unix", 16 << 20);
  ASSERT_TRUE(sockets.ok());
  EXPECT_THAT(*sockets, ::testing::Not(HasSubstr("@berth")));
}

TEST_F(DaemonE2e, SigtermIsACleanEndThatContainersSurvive) {
  const auto [pod, id] =
      RunContainer(ContainerConfig("i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done"));
  const std::string pid = Shell(id, "cat /proc/self/stat | cut -d' ' -f4");
  runtime_.reset();
  images_.reset();
  const int status = daemon().Terminate();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_NE(access(daemon().cri_socket().c_str(), F_OK), 0) << "the socket is removed";
  const size_t lines = LogLines().size();
  EXPECT_TRUE(Eventually([&] { return LogLines().size() > lines + 5; }, absl::Seconds(20)))
      << "the container goes on logging without the daemon";
  daemon().Start();
  Reconnect();
  EXPECT_EQ(Status(id).state(), cri::CONTAINER_RUNNING);
  Shell(id, "true");
  Stop(id);
  int expected = 0;
  for (const std::string& line : LogLines()) {
    ASSERT_EQ(line, absl::StrCat("stdout F ", expected++));
  }
}

TEST_F(DaemonE2e, SighupDoesNotEndIt) {
  kill(daemon().pid(), SIGHUP);
  cri::VersionResponse response;
  EXPECT_TRUE(runtime_->Version(Within(absl::Seconds(5)).get(), {}, &response).ok());
}

TEST_F(DaemonE2e, UnknownConfigurationKeysAreRefusedWithFileAndLine) {
  const std::string file = daemon().dir() + "/bad.toml";
  absl::StatusOr<os::UniqueFd> fd = os::Open(file, O_WRONLY | O_CREAT, 0600);
  ASSERT_TRUE(fd.ok());
  ASSERT_TRUE(os::WriteAll(fd->get(), "# a comment\n\nno_such_key = 1\n").ok());
  std::vector<std::string> argv = {ProgramPath("berthd"), "--config", file, "--check-config"};
  const Output output = RunProgram(argv, absl::Seconds(30));
  EXPECT_NE(output.exit_code, 0);
  EXPECT_THAT(output.out + output.err, HasSubstr(file + ":3"));
  EXPECT_THAT(output.out + output.err, HasSubstr("no_such_key"));
}

TEST_F(DaemonE2e, ADataDirectoryThatIsNotOursIsRefused) {
  std::vector<std::string> argv = daemon().argv();
  const std::string foreign = daemon().dir() + "/foreign";
  ASSERT_TRUE(os::MakeDirs(foreign + "/somebody", 0700).ok());
  for (size_t i = 0; i + 1 < argv.size(); ++i) {
    if (argv[i] == "--root") argv[i + 1] = foreign;
    if (argv[i] == "--state") argv[i + 1] = daemon().dir() + "/run2";
    if (argv[i] == "--cri-socket") argv[i + 1] = daemon().dir() + "/run2/berth.sock";
    if (argv[i] == "--admin-socket") argv[i + 1] = daemon().dir() + "/run2/admin.sock";
  }
  const Output output = RunProgram(argv, absl::Seconds(30));
  EXPECT_NE(output.exit_code, 0);
  EXPECT_THAT(output.out + output.err, HasSubstr(foreign));
}

TEST_F(DaemonE2e, MetricsHaveRpcLatency) {
  cri::VersionResponse response;
  ASSERT_TRUE(runtime_->Version(Within(absl::Seconds(5)).get(), {}, &response).ok());
  const Output output = daemon().Ctl({"metrics"});
  EXPECT_EQ(output.exit_code, 0) << output.err;
  EXPECT_THAT(output.out, HasSubstr("berth_rpc_duration_seconds_bucket"));
  EXPECT_THAT(output.out, HasSubstr("method=\"Version\""));
}

TEST_F(DaemonE2e, RequestsOfEveryShapeLeaveItAlive) {
  // Empty requests to every lifecycle call: an error, never a crash.
  cri::RunPodSandboxResponse run;
  EXPECT_EQ(runtime_->RunPodSandbox(Within(absl::Seconds(5)).get(), {}, &run).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  cri::CreateContainerResponse create;
  EXPECT_FALSE(runtime_->CreateContainer(Within(absl::Seconds(5)).get(), {}, &create).ok());
  cri::StartContainerResponse start;
  EXPECT_FALSE(runtime_->StartContainer(Within(absl::Seconds(5)).get(), {}, &start).ok());
  cri::ExecSyncResponse exec;
  EXPECT_FALSE(runtime_->ExecSync(Within(absl::Seconds(5)).get(), {}, &exec).ok());
  cri::ContainerStatusResponse status;
  EXPECT_FALSE(runtime_->ContainerStatus(Within(absl::Seconds(5)).get(), {}, &status).ok());
  cri::ImageStatusResponse image;
  EXPECT_EQ(images_->ImageStatus(Within(absl::Seconds(5)).get(), {}, &image).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  cri::VersionResponse version;
  EXPECT_TRUE(runtime_->Version(Within(absl::Seconds(5)).get(), {}, &version).ok());
}

}  // namespace
}  // namespace berth::testing
