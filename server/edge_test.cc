// The edge and the CRI services over a real unix socket, with a runtime that waits when told.
#include "server/edge.h"

#include <google/protobuf/descriptor.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cri.grpc.pb.h"
#include "server/cri_services.h"
#include "server/fake_domain.h"
#include "server/rpc_server.h"

namespace berth::server {
namespace {

namespace cri = ::runtime::v1;

class EdgeTest : public ::testing::Test {
 protected:
  explicit EdgeTest(const ServerConfig& config = {}) : metrics_(0), edge_(config, &metrics_) {}

  void SetUp() override {
    char name[] = "/tmp/berth-edge-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    facts_.default_handler = "berth";
    services_.push_back(MakeRuntimeService(&edge_, &runtime_, &facts_));
    services_.push_back(MakeImageService(&edge_, &images_, &facts_));
    auto socket = SocketPath::Prepare(dir_ + "/s", 0660, 0);
    ASSERT_TRUE(socket.ok()) << socket.status();
    auto server = RpcServer::Start(*std::move(socket), {services_[0].get(), services_[1].get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel_ = grpc::CreateCustomChannel(absl::StrCat("unix:", dir_, "/s"),
                                         grpc::InsecureChannelCredentials(), args);
    stub_ = cri::RuntimeService::NewStub(channel_);
  }
  void TearDown() override {
    runtime_.Release();
    server_->Shutdown(Deadline::After(absl::Seconds(20)));
    EXPECT_TRUE(edge_.Drain(Deadline::After(absl::Seconds(20))));
    rmdir(dir_.c_str());  // empty: the socket is withdrawn
    EXPECT_NE(access(dir_.c_str(), F_OK), 0);
  }

  grpc::Status Version(absl::Duration limit = absl::Seconds(20)) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + limit));
    cri::VersionResponse response;
    return stub_->Version(&context, {}, &response);
  }

  // `count` ExecSync calls that wait in the runtime; returns once it has them all.
  struct Waiting {
    grpc::ClientContext context;
    cri::ExecSyncRequest request;
    cri::ExecSyncResponse response;
    grpc::Status status;
  };
  void StartWaiting(int count) {
    for (int i = 0; i < count; ++i) {
      auto call = std::make_unique<Waiting>();
      Waiting* w = call.get();
      stub_->async()->ExecSync(&w->context, &w->request, &w->response,
                               [this, w](const grpc::Status& s) {
                                 w->status = s;
                                 MutexLock lock(&mu_);
                                 ++answered_;
                                 cv_.NotifyAll();
                               });
      waiting_.push_back(std::move(call));
    }
  }
  bool WaitAnswered(int count) {
    const Deadline deadline = Deadline::After(absl::Seconds(60));
    MutexLock lock(&mu_);
    while (answered_ < count && !deadline.Expired()) cv_.WaitFor(&mu_, deadline.Remaining());
    return answered_ >= count;
  }

  std::string dir_;
  Metrics metrics_;
  FakeRuntime runtime_;
  FakeImages images_;
  RuntimeFacts facts_;
  Edge edge_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<RpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<cri::RuntimeService::Stub> stub_;
  Mutex mu_;
  CondVar cv_;
  int answered_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::unique_ptr<Waiting>> waiting_;
};

TEST_F(EdgeTest, AThousandWaitingCallsTakeNothingThatVersionAndListNeed) {
  StartWaiting(1000);
  ASSERT_TRUE(runtime_.WaitForCallers(1000));
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(Version().ok());
    grpc::ClientContext context;
    cri::ListContainersResponse list;
    ASSERT_TRUE(stub_->ListContainers(&context, {}, &list).ok());
  }
  EXPECT_EQ(edge_.in_flight(), 1000);
  runtime_.Release();
  EXPECT_TRUE(WaitAnswered(1000));
  for (const auto& call : waiting_) EXPECT_EQ(call->response.exit_code(), 7);
}

TEST_F(EdgeTest, AClientThatGoesAwayIsAnsweredWhileTheWorkGoesOn) {
  StartWaiting(1);
  ASSERT_TRUE(runtime_.WaitForCallers(1));
  waiting_[0]->context.TryCancel();
  ASSERT_TRUE(WaitAnswered(1));
  EXPECT_EQ(waiting_[0]->status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(edge_.in_flight(), 1) << "the handler still runs";
}

TEST_F(EdgeTest, AHandlerThatTakesACancelLearnsThatItsClientWentAway) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(20));
  cri::ExecSyncRequest request;
  request.set_timeout(FakeRuntime::kUntilCancelled);
  cri::ExecSyncResponse response;
  EXPECT_EQ(stub_->ExecSync(&context, request, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(edge_.Drain(Deadline::After(absl::Seconds(20)))) << "the handler still runs";
}

TEST_F(EdgeTest, ADeadlineThatPassesIsTheClientsAloneToo) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(20));
  cri::ExecSyncResponse response;
  EXPECT_EQ(stub_->ExecSync(&context, {}, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Version().ok());
}

TEST_F(EdgeTest, AShutdownAnswersWaitingClientsAndLeavesTheHandlersAlone) {
  StartWaiting(3);
  ASSERT_TRUE(runtime_.WaitForCallers(3));
  server_->Shutdown(Deadline::After(absl::ZeroDuration()));
  EXPECT_TRUE(WaitAnswered(3));
  EXPECT_EQ(edge_.in_flight(), 3);
  EXPECT_FALSE(edge_.Drain(Deadline::After(absl::ZeroDuration())));
}

TEST_F(EdgeTest, FailuresOfTheDomainKeepCodeAndMessage) {
  grpc::ClientContext context;
  cri::StartContainerRequest request;
  request.set_container_id("nobody");
  cri::StartContainerResponse response;
  const grpc::Status status = stub_->StartContainer(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "start container nobody: no such container");
  EXPECT_TRUE(absl::StrContains(metrics_.Text({}), "method=\"StartContainer\""));
  EXPECT_TRUE(absl::StrContains(metrics_.Text({}), "code=\"NOT_FOUND\""));
}

class SmallEdgeTest : public EdgeTest {
 protected:
  static ServerConfig Small() {
    ServerConfig config;
    config.waiting_calls_max = 16;
    return config;
  }
  SmallEdgeTest() : EdgeTest(Small()) {}
};

TEST_F(SmallEdgeTest, OneWaitingCallTooManyIsRefusedAtOnce) {
  StartWaiting(16);
  ASSERT_TRUE(runtime_.WaitForCallers(16));
  grpc::ClientContext context;
  cri::ExecSyncResponse response;
  EXPECT_EQ(stub_->ExecSync(&context, {}, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Version().ok());
}

// Every RPC of the descriptor, with an empty request: it is served, or refused by its own name.
grpc::Status CallEmpty(grpc::Channel* channel, const google::protobuf::MethodDescriptor& method) {
  const std::string path = absl::StrCat("/", method.service()->full_name(), "/", method.name());
  grpc::GenericStub stub(std::shared_ptr<grpc::ChannelInterface>(channel, [](auto*) {}));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  grpc::CompletionQueue queue;
  const grpc::Slice nothing;
  const grpc::ByteBuffer request(&nothing, 1);
  grpc::ByteBuffer response;
  grpc::Status status;
  const auto call = stub.PrepareUnaryCall(&context, path, request, &queue);
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return status;
}

TEST_F(EdgeTest, EveryRpcIsServedOrRefusedByName) {
  const std::set<std::string> served = {"Version",
                                        "RunPodSandbox",
                                        "StopPodSandbox",
                                        "RemovePodSandbox",
                                        "PodSandboxStatus",
                                        "ListPodSandbox",
                                        "CreateContainer",
                                        "StartContainer",
                                        "StopContainer",
                                        "RemoveContainer",
                                        "ListContainers",
                                        "ContainerStatus",
                                        "ReopenContainerLog",
                                        "ExecSync",
                                        "UpdateRuntimeConfig",
                                        "Status",
                                        "RuntimeConfig",
                                        "ListImages",
                                        "ImageStatus",
                                        "RemoveImage",
                                        "ImageFsInfo",
                                        "PullImage",
                                        "UpdateContainerResources",
                                        "ContainerStats",
                                        "ListContainerStats",
                                        "PodSandboxStats",
                                        "ListPodSandboxStats"};
  runtime_.Release();
  const auto* file = cri::VersionRequest::descriptor()->file();
  int refused = 0;
  for (int s = 0; s < file->service_count(); ++s) {
    for (int m = 0; m < file->service(s)->method_count(); ++m) {
      const auto& method = *file->service(s)->method(m);
      const grpc::Status status = CallEmpty(channel_.get(), method);
      if (served.count(method.name()) != 0) {
        EXPECT_NE(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << method.name();
        continue;
      }
      ++refused;
      EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << method.name();
      EXPECT_TRUE(absl::StartsWith(status.error_message(), method.name() + " is not offered: "))
          << status.error_message();
    }
  }
  EXPECT_EQ(refused, 16);
}

}  // namespace
}  // namespace berth::server
