// The admin service over a real unix socket.
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "berth_admin.grpc.pb.h"
#include "server/admin_service.h"
#include "server/fake_domain.h"
#include "server/rpc_server.h"

namespace berth::server {
namespace {

namespace admin = ::berth::admin::v1;

class AdminTest : public ::testing::Test {
 protected:
  AdminTest() : metrics_(0), edge_(config_.server, &metrics_) {}

  void SetUp() override {
    char name[] = "/tmp/berth-admin-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    config_.data_dir = dir_;
    config_.image.archive_limit_bytes = 3000;
    auto cgroups = os::CgroupHost::Probe();
    ASSERT_TRUE(cgroups.ok()) << cgroups.status();
    cgroups_ = std::make_unique<os::CgroupHost>(*std::move(cgroups));
    facts_.data_dir = dir_;
    service_ = MakeAdminService(
        {&edge_, &metrics_, &runtime_, &images_, cgroups_.get(), &config_, &facts_});
    auto socket = SocketPath::Prepare(dir_ + "/s", 0600, 0);
    ASSERT_TRUE(socket.ok()) << socket.status();
    auto server = RpcServer::Start(*std::move(socket), {service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = admin::Admin::NewStub(
        grpc::CreateChannel(absl::StrCat("unix:", dir_, "/s"), grpc::InsecureChannelCredentials()));
  }
  void TearDown() override {
    server_->Shutdown(Deadline::After(absl::Seconds(20)));
    EXPECT_TRUE(edge_.Drain(Deadline::After(absl::Seconds(20))));
    EXPECT_EQ(rmdir(dir_.c_str()), 0) << "nothing of an import is left";
  }

  // Sends `chunks`, and that they were all when `whole`.
  grpc::Status Import(const std::vector<std::string>& chunks, bool whole) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    admin::ImportImageResponse reply;
    const auto stream = stub_->ImportImage(&context, &reply);
    admin::ImportImageRequest message;
    message.mutable_options()->set_origin("x.tar");
    for (size_t i = 0; i < chunks.size(); ++i) {
      message.set_chunk(chunks[i]);
      message.set_last(whole && i + 1 == chunks.size());
      if (!stream->Write(message)) break;
      message.Clear();
    }
    stream->WritesDone();
    return stream->Finish();
  }

  std::string dir_;
  Config config_;
  RuntimeFacts facts_;
  Metrics metrics_;
  FakeRuntime runtime_;
  FakeImages images_;
  Edge edge_;
  std::unique_ptr<os::CgroupHost> cgroups_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<admin::Admin::Stub> stub_;
};

TEST_F(AdminTest, AnArchiveArrivesInPiecesAndInOrder) {
  EXPECT_TRUE(Import({std::string(1000, 'a'), std::string(1000, 'b'), "c"}, true).ok());
  EXPECT_EQ(images_.imported(), std::string(1000, 'a') + std::string(1000, 'b') + "c");
}

TEST_F(AdminTest, AStreamThatIsCutOffIsNotImported) {
  const grpc::Status status = Import({"half"}, false);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(images_.imported(), "");
}

TEST_F(AdminTest, AnEmptyArchiveAndOneOverTheLimitAreRefused) {
  EXPECT_EQ(Import({""}, true).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const std::vector<std::string> chunks(8, std::string(1000, 'x'));
  EXPECT_EQ(Import(chunks, true).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(AdminTest, AClientThatGoesAwayHalfWayLeavesNothing) {
  grpc::ClientContext context;
  admin::ImportImageResponse reply;
  const auto stream = stub_->ImportImage(&context, &reply);
  admin::ImportImageRequest message;
  message.set_chunk("half");
  ASSERT_TRUE(stream->Write(message));
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(edge_.Drain(Deadline::After(absl::Seconds(20))));
  EXPECT_EQ(images_.imported(), "");
}

TEST_F(AdminTest, StateCheckAndMetricsDescribeTheDaemon) {
  admin::StateResponse state;
  grpc::ClientContext c1;
  ASSERT_TRUE(stub_->State(&c1, {}, &state).ok());
  EXPECT_EQ(state.version(), BERTH_VERSION);
  EXPECT_EQ(state.pid(), getpid());
  EXPECT_EQ(state.containers(), 2);
  admin::CheckResponse check;
  grpc::ClientContext c2;
  ASSERT_TRUE(stub_->Check(&c2, {}, &check).ok());
  EXPECT_GT(check.checks_size(), 10);
  admin::MetricsResponse metrics;
  grpc::ClientContext c3;
  ASSERT_TRUE(stub_->Metrics(&c3, {}, &metrics).ok());
  EXPECT_TRUE(absl::StrContains(metrics.text(), "method=\"State\""));
}

TEST_F(AdminTest, AFailpointPlanThatDoesNotParseIsRefused) {
  admin::FailpointsRequest request;
  request.set_plan("no_such_failpoint=kill");
  admin::FailpointsResponse reply;
  grpc::ClientContext context;
  EXPECT_EQ(
      stub_->Failpoints(&context, request, &reply).error_code(),
      BERTH_FAILPOINTS ? grpc::StatusCode::INVALID_ARGUMENT : grpc::StatusCode::UNIMPLEMENTED);
}

}  // namespace
}  // namespace berth::server
