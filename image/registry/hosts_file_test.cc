#include "image/registry/hosts_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/os/file.h"
#include "image/worker/testing/worker_run.h"

namespace berth::registry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using worker::testing::TempDir;

std::string Bases(const absl::StatusOr<std::vector<Host>>& hosts) {
  if (!hosts.ok()) return hosts.status().ToString();
  return absl::StrJoin(*hosts, " ", [](std::string* out, const Host& host) {
    absl::StrAppend(out, host.base, host.own ? "!" : "");
  });
}

std::string BasesOf(const std::string& text, const std::string& registry = "r.example") {
  return Bases(ParseHosts(text, "/etc/x", registry));
}

void Write(const std::string& path, const std::string& text) {
  const os::UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  ASSERT_TRUE(os::WriteAll(fd.get(), text).ok()) << path;
}

TEST(HostsFileTest, WithoutAFileTheNameSaysTheUrl) {
  struct Case {
    const char* registry;
    const char* base;
  };
  const Case cases[] = {
      {"docker.io", "https://registry-1.docker.io/v2"},
      {"r.example", "https://r.example/v2"},
      {"r.example:5000", "https://r.example:5000/v2"},
      {"localhost", "http://localhost/v2"},
      {"localhost:5000", "http://localhost:5000/v2"},
      {"127.0.0.1:5000", "http://127.0.0.1:5000/v2"},
      {"127.9.9.9", "http://127.9.9.9/v2"},
      {"127.0.0.1:443", "https://127.0.0.1:443/v2"},
      {"[::1]:5000", "http://[::1]:5000/v2"},
      {"[2001:db8::1]:5000", "https://[2001:db8::1]:5000/v2"},
      // Only look like it.
      {"127.0.0.1.example", "https://127.0.0.1.example/v2"},
      {"localhost.example", "https://localhost.example/v2"},
      {"127.0.0.256", "https://127.0.0.256/v2"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(DefaultHost(c.registry).base, c.base);
    EXPECT_EQ(BasesOf("", c.registry), absl::StrCat(c.base, "!"));
    EXPECT_EQ(Bases(LoadHosts("", c.registry)), absl::StrCat(c.base, "!"));
    EXPECT_EQ(Bases(LoadHosts("/nonexistent", c.registry)), absl::StrCat(c.base, "!"));
  }
}

TEST(HostsFileTest, TheOrderInTheFileIsTheOrderToAskInAndTheServerIsLast) {
  EXPECT_EQ(BasesOf("server = \"https://s\"\n[host.\"https://z\"]\n[host.\"https://a\"]\n"
                    "[host.\"https://m\"]\n[host.\"https://m\".header]\nx = \"y\"\n"),
            "https://z/v2 https://a/v2 https://m/v2 https://s/v2!");
  EXPECT_EQ(BasesOf("[host.\"https://m\"]\n", "docker.io"),
            "https://m/v2 https://registry-1.docker.io/v2!");
}

TEST(HostsFileTest, BasesAreMadeOfWhatIsWritten) {
  struct Case {
    const char* host;
    const char* more;
    const char* base;
  };
  const Case cases[] = {
      {"https://m/", "", "https://m/v2"},
      {"https://m/v2", "", "https://m/v2"},
      {"https://m/v2/", "", "https://m/v2"},
      {"https://m/prefix", "", "https://m/prefix/v2"},
      {"https://m/v2/mirror", "override_path = true", "https://m/v2/mirror"},
      {"https://m/v2/mirror", "override_path = false", "https://m/v2/mirror/v2"},
      {"http://m:80", "", "http://m:80/v2"},
      {"m:5000", "", "https://m:5000/v2"},
      {"localhost:5000", "", "http://localhost:5000/v2"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(BasesOf(absl::StrCat("[host.\"", c.host, "\"]\n", c.more, "\n")),
              absl::StrCat(c.base, " https://r.example/v2!"));
    EXPECT_EQ(BasesOf(absl::StrCat("server = \"", c.host, "\"\n", c.more, "\n")),
              absl::StrCat(c.base, "!"));
  }
}

TEST(HostsFileTest, SettingsBelongToTheirHost) {
  const auto hosts = ParseHosts(R"(
unknown = "left alone"
skip_verify = false
[host."https://a"]
capabilities = ["resolve", "push"]
skip_verify = true
dial_timeout = "1500ms"
[host."https://a".header]
X-One = "1"
X-Two = ["2", "3"]
[host."https://b"]
capabilities = []
unknown = 7
[host."https://c"]
capabilities = "pull"
)",
                                "/etc/x", "r.example");
  ASSERT_TRUE(hosts.ok()) << hosts.status();
  ASSERT_EQ(hosts->size(), 4u);
  const Host& a = (*hosts)[0];
  EXPECT_TRUE(a.resolve && !a.pull && a.tls.skip_verify && !a.own);
  EXPECT_EQ(a.dial_timeout, absl::Milliseconds(1500));
  EXPECT_THAT(a.headers, ElementsAre(Pair("X-One", "1"), Pair("X-Two", "2"), Pair("X-Two", "3")));
  EXPECT_TRUE(!(*hosts)[1].resolve && !(*hosts)[1].pull);
  EXPECT_TRUE(!(*hosts)[2].resolve && (*hosts)[2].pull);
  EXPECT_TRUE((*hosts)[3].resolve && (*hosts)[3].pull && (*hosts)[3].own);
  EXPECT_TRUE((*hosts)[3].headers.empty() && !(*hosts)[3].tls.skip_verify);
  EXPECT_FALSE((*hosts)[3].dial_timeout.has_value());
}

class CertificateTest : public ::testing::Test {
 protected:
  CertificateTest() {
    Write(dir_.path() + "/one.pem", "ONE");
    Write(dir_.path() + "/two.pem", "TWO");
    Write(dir_.path() + "/key.pem", "KEY");
  }
  Tls TlsOf(const std::string& text) const {
    const auto hosts = ParseHosts(text, dir_.path(), "r.example");
    EXPECT_TRUE(hosts.ok()) << hosts.status();
    return hosts.ok() ? hosts->front().tls : Tls();
  }
  const TempDir dir_;
};

TEST_F(CertificateTest, OfACaAllFilesAreReadFromWhereHostsTomlIs) {
  EXPECT_EQ(TlsOf("ca = \"one.pem\"").ca, "ONE\n");
  EXPECT_EQ(TlsOf(absl::StrCat("ca = [\"", dir_.path(), "/one.pem\", \"two.pem\"]")).ca,
            "ONE\nTWO\n");
  const absl::Status absent = ParseHosts("ca = \"absent.pem\"", dir_.path(), "r.example").status();
  EXPECT_EQ(absent.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(absent.message()), HasSubstr(dir_.path() + "/absent.pem"));
}

TEST_F(CertificateTest, AClientsKeyIsBesideItOrInIt) {
  for (const char* form : {"\"one.pem\"", "[\"one.pem\"]", "[[\"one.pem\"]]"}) {
    const Tls both = TlsOf(absl::StrCat("client = ", form));
    EXPECT_EQ(both.certificate, "ONE") << form;
    EXPECT_EQ(both.key, "") << form;
  }
  const Tls apart = TlsOf("client = [[\"one.pem\", \"key.pem\"]]");
  EXPECT_EQ(apart.certificate, "ONE");
  EXPECT_EQ(apart.key, "KEY");
}

TEST(HostsFileTest, BrokenFilesAreRefusedByFileAndLine) {
  struct Case {
    const char* text;
    int line;
    const char* cause;
  };
  const Case cases[] = {
      {"server = \n", 1, ""},
      {"a = 1\n[host.\"https://m\"\n", 2, ""},
      {"[host.\"https://m\"]\n[host.\"https://m\"]\n", 2, ""},
      {"a = \"\xff\"\n", 1, ""},
      {"server = 5\n", 1, "server is not a string"},
      {"\nserver = \"ftp://x\"\n", 2, "\"ftp://x\" is neither http nor https"},
      {"server = \"https://\"\n", 1, "not a URL"},
      {"host = 3\n", 1, "host is not a table"},
      {"[host]\n\"https://m\" = 3\n", 2, "a host is not a table"},
      {"[host.\"file:///etc/shadow\"]\n", 1, "not an absolute URL"},
      {"[host.\"https://m\"]\nskip_verify = \"yes\"\n", 2, "skip_verify is neither true nor false"},
      {"[host.\"https://m\"]\noverride_path = 1\n", 2, "override_path is neither true nor false"},
      {"[host.\"https://m\"]\n\ncapabilities = 3\n", 3, "capabilities is neither string nor array"},
      {"[host.\"https://m\"]\n\ncapabilities = [\"pull\", 3]\n", 3,
       "an item of capabilities is no string"},
      {"[host.\"https://m\"]\nheader = 3\n", 2, "header is not a table"},
      {"[host.\"https://m\".header]\nX = 3\n", 2, "header is neither string nor array"},
      {"[host.\"https://m\".header]\nX = \"a\\r\\nB: c\"\n", 2, "a header with a line break"},
      {"dial_timeout = 5\n", 1, "dial_timeout is not a duration"},
      {"dial_timeout = \"soon\"\n", 1, "dial_timeout is not a duration"},
      {"dial_timeout = \"-1s\"\n", 1, "dial_timeout is not a duration"},
      {"ca = 3\n", 1, "ca is neither string nor array"},
      {"client = [1, 2]\n", 1, "an item of client is no string"},
  };
  for (const Case& c : cases) {
    const absl::Status status = ParseHosts(c.text, "/etc/x", "r.example").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.text << ": " << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(absl::StrCat("read /etc/x/hosts.toml: line ", c.line, ": ")))
        << c.text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.cause)) << c.text;
  }
}

TEST(HostsFileTest, TheDirectoryOfTheRegistryGoesBeforeTheDefault) {
  const TempDir dir;
  const auto write = [&](const std::string& name) {
    ASSERT_TRUE(os::MakeDirs(absl::StrCat(dir.path(), "/", name), 0755).ok());
    Write(absl::StrCat(dir.path(), "/", name, "/hosts.toml"),
          absl::StrCat("[host.\"https://", absl::StrContains(name, "default") ? "default" : "named",
                       "\"]\n"));
  };
  write("_default");
  const std::string own = " https://r.example:5000/v2!";
  EXPECT_EQ(Bases(LoadHosts(dir.path(), "r.example:5000")), "https://default/v2" + own);
  write("r.example:5000");
  EXPECT_EQ(Bases(LoadHosts(dir.path(), "r.example:5000")), "https://named/v2" + own);
  write("other.example_5000_");
  EXPECT_EQ(Bases(LoadHosts(dir.path(), "other.example:5000")),
            "https://named/v2 https://other.example:5000/v2!");
  ASSERT_TRUE(os::MakeDirs(dir.path() + "/odd.example/hosts.toml", 0755).ok());
  const absl::Status odd = LoadHosts(dir.path(), "odd.example").status();
  EXPECT_EQ(odd.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(odd.message()), HasSubstr("odd.example/hosts.toml"));
}

}  // namespace
}  // namespace berth::registry
