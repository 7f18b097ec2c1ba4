// What the services answer: statuses, images, exec replies, metrics, host facts.
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/exec_reply.h"
#include "server/fake_domain.h"
#include "server/grpc_status.h"
#include "server/host_checks.h"
#include "server/image_messages.h"
#include "server/metrics.h"
#include "server/runtime_status.h"

namespace berth::server {
namespace {

TEST(GrpcStatusTest, EveryCodeKeepsItsNumberAndMessage) {
  for (int code = 1; code <= 16; ++code) {
    const grpc::Status status = ToGrpc(absl::Status(static_cast<absl::StatusCode>(code), "why"));
    EXPECT_EQ(static_cast<int>(status.error_code()), code);
    EXPECT_EQ(status.error_message(), "why");
  }
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
}

TEST(GrpcStatusTest, ALongMessageKeepsBothEnds) {
  const std::string text = absl::StrCat("begin", std::string(100000, 'x'), "the cause");
  const std::string message = ToGrpc(absl::InternalError(text)).error_message();
  EXPECT_LT(message.size(), 2100u);
  EXPECT_TRUE(absl::StartsWith(message, "begin"));
  EXPECT_TRUE(absl::EndsWith(message, "the cause"));
}

TEST(ExecReplyTest, TheLongerStreamIsCutUntilBothFit) {
  const struct {
    size_t out, err, out_left, err_left;
  } cases[] = {{10, 20, 10, 20},   {100, 10, 90, 10}, {10, 100, 10, 90},
               {100, 100, 50, 50}, {0, 101, 0, 100},  {60, 45, 55, 45}};
  for (const auto& c : cases) {
    cri::ExecSyncResponse reply;
    reply.set_stdout(std::string(c.out, 'o'));
    reply.set_stderr(std::string(c.err, 'e'));
    FitExecReply(&reply, 100);
    EXPECT_EQ(reply.stdout().size(), c.out_left) << c.out << " " << c.err;
    EXPECT_EQ(reply.stderr().size(), c.err_left) << c.out << " " << c.err;
  }
}

image::Image MakeImage(const std::string& user) {
  image::Image image{*Digest::FromSha256Hex(std::string(64, 'a'))};
  image.repo_tags = {"docker.io/library/x:1"};
  image.size = 4096;
  image.config.user = user;
  image.config.labels = {{"k", "\xff not utf-8"}};
  return image;
}

TEST(ImageMessagesTest, TheUserIsANumberOrAName) {
  EXPECT_EQ(ToCri(MakeImage("1002:7")).uid().value(), 1002);
  EXPECT_EQ(ToCri(MakeImage("1002")).username(), "");
  EXPECT_EQ(ToCri(MakeImage("www-data:www")).username(), "www-data");
  EXPECT_FALSE(ToCri(MakeImage("www-data")).has_uid());
  EXPECT_FALSE(ToCri(MakeImage("")).has_uid());
}

TEST(PullImageTest, TheReferenceIsTheIdAndTheCredentialsArePassedOn) {
  FakeImages images;
  images.Add(MakeImage("0"));
  cri::PullImageRequest request;
  cri::PullImageResponse reply;
  request.mutable_image()->set_image("x:1");
  request.mutable_image()->set_runtime_handler("berth");
  request.mutable_auth()->set_username("me");
  request.mutable_auth()->set_registry_token("token");
  EXPECT_TRUE(PullImageByName(&images, "berth", request, Cancel(), &reply).ok());
  EXPECT_EQ(reply.image_ref(), MakeImage("0").id.str());
  EXPECT_EQ(images.pulled().reference, "x:1");
  EXPECT_EQ(images.pulled().auth.username, "me");
  EXPECT_EQ(images.pulled().auth.registry_token, "token");
}

TEST(PullImageTest, BadRequestsAreRefused) {
  FakeImages images;
  cri::PullImageRequest request;
  cri::PullImageResponse reply;
  EXPECT_EQ(PullImageByName(&images, "berth", request, Cancel(), &reply).code(),
            absl::StatusCode::kInvalidArgument);
  request.mutable_image()->set_image("x:1");
  request.mutable_image()->set_runtime_handler("runsc");
  const absl::Status status = PullImageByName(&images, "berth", request, Cancel(), &reply);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "runsc")) << status;
}

TEST(PullImageTest, ARegistryThatDoesNotAnswerIsUnknownWithTheWordFirst) {
  FakeImages images;
  cri::PullImageRequest request;
  cri::PullImageResponse reply;
  request.mutable_image()->set_image("x:1");
  images.FailPulls(absl::UnavailableError("pull image x:1: connect"));
  absl::Status status = PullImageByName(&images, "berth", request, Cancel(), &reply);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(status.message(), "RegistryUnavailable: pull image x:1: connect");
  images.FailPulls(absl::NotFoundError("no such tag"));
  status = PullImageByName(&images, "berth", request, Cancel(), &reply);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "no such tag");
}

TEST(ImageMessagesTest, AnAbsentImageIsAnEmptyReply) {
  FakeImages images;
  images.Add(MakeImage("0"));
  cri::ImageStatusRequest request;
  cri::ImageStatusResponse reply;
  request.mutable_image()->set_image("nobody");
  EXPECT_TRUE(FillImageStatus(images, request, &reply).ok());
  EXPECT_FALSE(reply.has_image());
  request.mutable_image()->set_image(absl::StrCat("sha256:", std::string(64, 'a')));
  request.set_verbose(true);
  EXPECT_TRUE(FillImageStatus(images, request, &reply).ok());
  EXPECT_EQ(reply.image().size(), 4096u);
  EXPECT_TRUE(absl::StrContains(reply.info().at("info"), "\"User\":\"0\""));
  EXPECT_EQ(FillImageStatus(images, {}, &reply).code(), absl::StatusCode::kInvalidArgument);
}

TEST(ImageMessagesTest, AFilterPicksOneImage) {
  FakeImages images;
  images.Add(MakeImage("0"));
  cri::ListImagesRequest request;
  cri::ListImagesResponse reply;
  FillImageList(images, request, &reply);
  EXPECT_EQ(reply.images_size(), 1);
  request.mutable_filter()->mutable_image()->set_image("other");
  reply.Clear();
  FillImageList(images, request, &reply);
  EXPECT_EQ(reply.images_size(), 0);
}

TEST(RuntimeStatusTest, HasBothConditionsAndTheDefaultHandlerTwice) {
  RuntimeFacts facts;
  facts.default_handler = "berth";
  cri::StatusResponse reply;
  FillStatus(facts, false, FakeRuntime(), &reply);
  ASSERT_EQ(reply.status().conditions_size(), 2);
  EXPECT_TRUE(reply.status().conditions(0).status());
  EXPECT_FALSE(reply.status().conditions(1).status());
  EXPECT_NE(reply.status().conditions(1).reason(), "");
  ASSERT_EQ(reply.runtime_handlers_size(), 2);
  EXPECT_EQ(reply.runtime_handlers(0).name(), "");
  EXPECT_EQ(reply.runtime_handlers(1).name(), "berth");
  EXPECT_TRUE(reply.runtime_handlers(0).has_features());
  EXPECT_TRUE(reply.info().empty());
  FillStatus(facts, true, FakeRuntime(), &reply);
  EXPECT_EQ(reply.info().count("config"), 1u);
}

TEST(HostChecksTest, KernelVersionsAreComparedAsNumbers) {
  EXPECT_FALSE(CheckKernel("5.13.0-39-generic").ok());
  EXPECT_FALSE(CheckKernel("4.19.0").ok());
  EXPECT_FALSE(CheckKernel("garbage").ok());
  EXPECT_TRUE(CheckKernel("5.14.0-570.el9").ok());
  EXPECT_TRUE(CheckKernel("6.1.0-18-amd64").ok());
  EXPECT_TRUE(CheckKernel("10.0-rc1").ok());
  EXPECT_TRUE(absl::StrContains(CheckKernel("5.4.0").message(), "older than 5.14"));
}

TEST(MetricsTest, AnsweredCallsAndCountsAreInTheText) {
  Metrics metrics(1795478158600888123);
  metrics.ObserveRpc("Version", absl::StatusCode::kOk, absl::Milliseconds(3));
  metrics.ObserveRpc("Version", absl::StatusCode::kOk, absl::Milliseconds(3));
  metrics.ObserveRpc("ExecSync", absl::StatusCode::kDeadlineExceeded, absl::Seconds(2));
  Gauges gauges;
  gauges.containers = 5;
  gauges.running_containers = 3;
  gauges.log_drops = {{"c0ffee", 12, 345}};
  const std::string text = metrics.Text(gauges);
  for (const char* line :
       {"berth_rpc_duration_seconds_count{code=\"OK\",method=\"Version\"} 2",
        "berth_rpc_duration_seconds_bucket{code=\"OK\",method=\"Version\",le=\"0.005\"} 2",
        "berth_rpc_duration_seconds_count{code=\"DEADLINE_EXCEEDED\",method=\"ExecSync\"} 1",
        "berth_container_log_lines_dropped_total{container=\"c0ffee\"} 12",
        "berth_container_log_bytes_dropped_total{container=\"c0ffee\"} 345",
        "berth_containers{state=\"running\"} 3", "berth_containers{state=\"other\"} 2",
        // NOLINTNEXTLINE(bugprone-suspicious-missing-comma): one line, the version within
        "berth_build_info{version=\"" BERTH_VERSION "\"} 1", "process_open_fds "}) {
    EXPECT_TRUE(absl::StrContains(text, line)) << line << "\n" << text;
  }
  EXPECT_FALSE(absl::StrContains(metrics.Text(Gauges()), "c0ffee")) << "it is gone by now";
}

}  // namespace
}  // namespace berth::server
