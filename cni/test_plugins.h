// A directory of plugins written by a test: /bin/sh scripts that log what they are called with and
// do what the test says. For tests only; not thread-safe.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/file.h"
#include "base/os/test_dir.h"

namespace berth::cni {

class TestPlugins {
 public:
  TestPlugins() {
    EXPECT_EQ(mkdir(bin().c_str(), 0755), 0);
    EXPECT_EQ(mkdir(conf().c_str(), 0755), 0);
  }

  std::string bin() const { return dir_ / "bin"; }
  std::string conf() const { return dir_ / "net.d"; }
  std::string operator/(const std::string& name) const { return dir_ / name; }

  // `body`: sh, with $T the plugin's type and $D this directory. The call is logged before it, its
  // input is in $D/$T.$CNI_COMMAND.
  void Install(const std::string& type, const std::string& body) {
    const std::string script = absl::StrCat(
        "#!/bin/sh\nT=", type, "\nD=", dir_.path(),
        "\ncat > $D/$T.$CNI_COMMAND\necho $T $CNI_COMMAND >> $D/calls\n"
        "if [ $CNI_COMMAND = VERSION ]; then\n"
        "  echo '{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"0.4.0\",\"1.0.0\"]}'; exit 0\n"
        "fi\n",
        body, "\n");
    Write(bin() + "/" + type, script, 0755);
  }
  // A plugin that succeeds: with an address or by handing on what was before.
  void InstallGood(const std::string& type, const std::string& result = Address("10.9.0.2")) {
    Install(type, absl::StrCat("[ $CNI_COMMAND = DEL ] || echo '", result, "'"));
  }
  static std::string Address(const std::string& ip) {
    return absl::StrCat(R"({"cniVersion":"1.0.0","ips":[{"address":")", ip, R"(/24"}]})");
  }
  // {"cniVersion":"1.0.0","name":"net","plugins":[...]}: types, each with the extra JSON members.
  void Configure(const std::vector<std::string>& types, const std::string& extra = "") {
    std::string plugins;
    for (const std::string& type : types) {
      absl::StrAppend(&plugins, plugins.empty() ? "" : ",", "{\"type\":\"", type, "\"", extra, "}");
    }
    Write(conf() + "/10-net.conflist",
          absl::StrCat(R"({"cniVersion":"1.0.0","name":"net","plugins":[)", plugins, "]}"), 0644);
  }
  static void Write(const std::string& path, const std::string& text, mode_t mode) {
    absl::StatusOr<os::UniqueFd> fd = os::Open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    ASSERT_TRUE(fd.ok()) << fd.status();
    ASSERT_TRUE(os::WriteAll(fd->get(), text).ok());
  }
  std::string Read(const std::string& name) const {
    return os::ReadFile(dir_ / name, 1 << 20).value_or("");
  }
  // "a ADD", "b DEL"... without VERSION, since the last time.
  std::vector<std::string> TakeCalls() {
    std::vector<std::string> calls;
    const std::string text = Read("calls");
    for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
      if (line.find("VERSION") == absl::string_view::npos) calls.emplace_back(line);
    }
    Write(dir_ / "calls", "", 0644);
    return calls;
  }

 private:
  os::TestDir dir_;
};

}  // namespace berth::cni
