// Pulls over HTTPS from Debian's docker-registry, with certificates that the tests make.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "image/worker/testing/real_registry.h"
#include "image/worker/testing/test_registry.h"
#include "image/worker/testing/worker_run.h"
#include "tests/fixtures/leak.h"

namespace berth::worker {
namespace {

using namespace testing;  // NOLINT: TempDir, Content and their kin
using ::testing::HasSubstr;

class PullTlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    content_.AddImage({GzipLayer(Tar({File("a", "b")}))}, "1");
    ASSERT_TRUE(MakeCertificate(dir_.path(), "server", "IP:127.0.0.1").ok());
    ASSERT_TRUE(MakeCertificate(dir_.path(), "elsewhere", "IP:127.0.0.2").ok());
    ASSERT_TRUE(MakeCertificate(dir_.path(), "client", "DNS:client").ok());
    const RealRegistry plain({dir_.path()});
    ASSERT_TRUE(berth::testing::Eventually([&] { return plain.Answers(); }, absl::Seconds(20)));
    const absl::Status pushed = Push(content_, "http://" + plain.authority(), "team/app");
    ASSERT_TRUE(pushed.ok()) << pushed;
  }

  void Start(const std::string& certificate, const std::string& client = "") {
    registry_ =
        std::make_unique<RealRegistry>(RealRegistry::Options{dir_.path(), certificate, client});
    ASSERT_TRUE(
        berth::testing::Eventually([&] { return registry_->Answers(); }, absl::Seconds(20)));
  }

  // The status of a pull with these lines below the server's.
  absl::Status PullWith(const std::string& settings) {
    const std::string directory = absl::StrCat(dir_.path(), "/hosts/", registry_->authority());
    EXPECT_TRUE(os::MakeDirs(directory, 0755).ok());
    {
      const os::UniqueFd fd(open((directory + "/hosts.toml").c_str(),
                                 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
      EXPECT_TRUE(os::WriteAll(fd.get(), absl::StrCat("server = \"https://", registry_->authority(),
                                                      "\"\n", settings))
                      .ok());
    }
    PullRequest request;
    request.set_registry(registry_->authority());
    request.set_repository("team/app");
    request.set_tag("1");
    request.set_hosts_dir(dir_.path() + "/hosts");
    const TempDir staging;
    const auto result = RunPull(request, staging.path());
    if (result.ok()) EXPECT_EQ(result->layers.size(), 1u);
    return result.status();
  }
  std::string Named(const std::string& key, const std::string& file) const {
    return absl::StrCat(key, " = \"", dir_.path(), "/", file, "\"\n");
  }

  TempDir dir_;
  Content content_;
  std::unique_ptr<RealRegistry> registry_;
};

TEST_F(PullTlsTest, TheCaOfHostsTomlIsBelievedAndNothingElseIs) {
  Start("server");
  EXPECT_EQ(PullWith(Named("ca", "server.pem")), absl::OkStatus());
  const absl::Status unknown = PullWith("");
  EXPECT_EQ(unknown.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(unknown.message()),
              HasSubstr(absl::StrCat("https://", registry_->authority(), "/v2/team/app")));
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("SSL certificate problem"));
  const absl::Status other = PullWith(Named("ca", "elsewhere.pem"));
  EXPECT_THAT(std::string(other.message()), HasSubstr("SSL certificate problem"));
  EXPECT_EQ(PullWith("skip_verify = true\n"), absl::OkStatus());
  const absl::Status no_file = PullWith(Named("ca", "absent.pem"));
  EXPECT_EQ(no_file.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(no_file.message()), HasSubstr("absent.pem"));
}

TEST_F(PullTlsTest, ACertificateOfAnotherAddressIsRefused) {
  Start("elsewhere");
  const absl::Status status = PullWith(Named("ca", "elsewhere.pem"));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("subject name"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("127.0.0.1"));
  EXPECT_EQ(PullWith("skip_verify = true\n"), absl::OkStatus());
}

TEST_F(PullTlsTest, ARegistryThatWantsAClientCertificateGetsTheOneOfHostsToml) {
  Start("server", "client");
  const std::string ca = Named("ca", "server.pem");
  EXPECT_EQ(PullWith(absl::StrCat(ca, "client = [[\"", dir_.path(), "/client.pem\", \"",
                                  dir_.path(), "/client.key\"]]\n")),
            absl::OkStatus());
  const absl::Status without = PullWith(ca);
  EXPECT_EQ(without.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(without.message()), HasSubstr("certificate"));
}

}  // namespace
}  // namespace berth::worker
