// The base of the end-to-end tests: one daemon a test suite, a leak check around each test, and the
// CRI calls as one-liners. Calls named Try* give back the gRPC status; the others fail the test.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/fixtures/daemon.h"
#include "tests/fixtures/leak.h"

namespace berth::testing {

using ::testing::HasSubstr;

// StatusIs(code, matcher of the message).
MATCHER_P2(StatusIs, code, message, "") {
  *result_listener << "code " << arg.error_code() << ": " << arg.error_message();
  return arg.error_code() == code && ::testing::Matches(message)(arg.error_message());
}

class E2e : public ::testing::Test {
 public:
  static void TearDownTestSuite();

 protected:
  void SetUp() override;
  void TearDown() override;

  // Of the suite's daemon.
  virtual Daemon::Options DaemonOptions() const { return {}; }

  static Daemon& daemon() { return *daemon_; }
  // A restarted daemon needs new stubs, and its fds are compared anew.
  void Reconnect();

  // Host network, pid CONTAINER, ipc POD; the caller edits it.
  cri::PodSandboxConfig PodConfig(const std::string& name = "pod") const;
  // busybox:test running `args` by /bin/sh -c; log <name>.log.
  cri::ContainerConfig ContainerConfig(const std::string& script,
                                       const std::string& name = "main") const;

  grpc::Status TryRunPod(const cri::PodSandboxConfig& config, std::string* id,
                         const std::string& handler = "");
  grpc::Status TryCreate(const std::string& pod, const cri::ContainerConfig& config,
                         const cri::PodSandboxConfig& pod_config, std::string* id);
  grpc::Status TryStart(const std::string& id);
  grpc::Status TryStop(const std::string& id, int64_t timeout);
  grpc::Status TryRemove(const std::string& id);
  grpc::Status TryExec(const std::string& id, std::vector<std::string> argv, int64_t timeout,
                       cri::ExecSyncResponse* response);

  std::string RunPod(const cri::PodSandboxConfig& config);
  std::string Create(const std::string& pod, const cri::ContainerConfig& config);
  void Start(const std::string& id);
  void Stop(const std::string& id, int64_t timeout = 0);
  void Remove(const std::string& id);
  void StopPod(const std::string& id);
  void RemovePod(const std::string& id);
  // Pod + container + start; {pod id, container id}.
  std::pair<std::string, std::string> RunContainer(const cri::ContainerConfig& config);
  // Standard output of a shell script in the container; fails the test on a non-zero exit.
  std::string Shell(const std::string& container, const std::string& script);
  cri::ContainerStatus Status(const std::string& id);
  // Waits until the container is EXITED and gives its status.
  cri::ContainerStatus WaitExit(const std::string& id, absl::Duration patience = absl::Seconds(30));
  // Runs a script to its end in a container of its own pod: the log's text without the CRI prefix.
  std::string RunScript(const std::string& script, cri::ContainerStatus* status = nullptr);

  std::string LogDirectory() const;  // of this test
  std::string LogPath(const std::string& name = "main") const;
  // "stdout F text" lines without their time.
  std::vector<std::string> LogLines(const std::string& name = "main") const;

  std::unique_ptr<cri::RuntimeService::Stub> runtime_;
  std::unique_ptr<cri::ImageService::Stub> images_;

 private:
  static std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<LeakCheck> leaks_;
  cri::PodSandboxConfig last_pod_;
};

// A context with a deadline; every call has one.
std::unique_ptr<grpc::ClientContext> Within(absl::Duration d);

}  // namespace berth::testing
