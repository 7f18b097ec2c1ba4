// Holds the tree to the arrows of DESIGN.md section 7: who may include whom. Reads the sources'
// #include lines; knows nothing of the build.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Sources = std::map<std::string, std::string>;  // path below the root -> text

struct Include {
  std::string target;
  bool quoted = false;
};

// A folder with rules of its own, and what it may include. A file belongs to the longest prefix.
const std::map<std::string, std::set<std::string>>& Allowed() {
  static const auto* allowed = new std::map<std::string, std::set<std::string>>{
      {"base/", {"base/"}},
      {"base/os/", {"base/", "base/os/"}},
      {"base/store/", {"base/", "base/os/", "base/store/"}},
      {"cni/", {"base/", "base/os/", "base/store/", "cni/", "records.pb.h"}},
      {"image/",
       {"base/", "base/os/", "base/store/", "image/", "records.pb.h", "image_worker.pb.h"}},
      {"shim/",
       {"base/", "base/os/", "base/store/", "shim/", "shim/child/", "shim/monitor/",
        "shim/seccomp/"}},
      {"shim/seccomp/", {"base/", "base/os/", "shim/", "shim/seccomp/"}},
      {"shim/front/",
       {"base/", "base/os/", "shim/", "shim/child/", "shim/seccomp/", "shim/front/"}},
      {"shim/child/", {"shim/", "shim/child/", "base/os/unique_fd.h"}},
      {"shim/monitor/", {"shim/", "shim/child/", "shim/monitor/", "base/os/unique_fd.h"}},
      {"sandbox/",
       {"base/", "base/os/", "base/store/", "cni/", "image/", "shim/", "shim/seccomp/", "sandbox/",
        "cri.pb.h", "records.pb.h"}},
      {"server/",
       {"base/", "base/os/", "base/store/", "cni/", "image/", "shim/", "shim/seccomp/", "sandbox/",
        "server/", "*.pb.h"}},
      {"ctl/", {"base/", "base/os/", "ctl/", "*.pb.h"}},
  };
  return *allowed;
}

std::string FolderOf(absl::string_view path) {
  std::string best;
  for (const auto& [folder, unused] : Allowed()) {
    if (absl::StartsWith(path, folder) && folder.size() > best.size()) best = folder;
  }
  return best;
}

// Tests and their helpers see more of the layers below than the code that they test.
bool IsTest(absl::string_view path) {
  return absl::EndsWith(path, "_test.cc") || absl::EndsWith(path, "_fuzz.cc") ||
         absl::StrContains(path, "testing/") || absl::StrContains(path, "test_") ||
         absl::StrContains(path, "fake");
}

std::vector<Include> IncludesOf(const std::string& text) {
  std::vector<Include> includes;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripLeadingAsciiWhitespace(line);
    if (!absl::ConsumePrefix(&line, "#")) continue;
    line = absl::StripLeadingAsciiWhitespace(line);
    if (!absl::ConsumePrefix(&line, "include")) continue;
    line = absl::StripLeadingAsciiWhitespace(line);
    if (line.empty() || (line[0] != '"' && line[0] != '<')) continue;
    const char close = line[0] == '"' ? '"' : '>';
    const size_t end = line.find(close, 1);
    if (end == absl::string_view::npos) continue;
    includes.push_back({std::string(line.substr(1, end - 1)), close == '"'});
  }
  return includes;
}

bool MayInclude(const std::string& path, const std::string& folder, const std::string& target) {
  std::set<std::string> allowed = Allowed().at(folder);
  if (IsTest(path)) {
    allowed.insert({"base/", "base/os/", "base/store/"});
    if (absl::StartsWith(folder, "shim/")) {
      allowed.insert({"shim/", "shim/child/", "shim/monitor/", "shim/seccomp/"});
    }
  }
  if (absl::EndsWith(target, ".pb.h")) {
    return allowed.count(target) > 0 || allowed.count("*.pb.h") > 0;
  }
  return allowed.count(target) > 0 || allowed.count(FolderOf(target)) > 0;
}

// Libraries that only some folders may name.
std::string ForbiddenLibrary(const std::string& path, const std::string& target) {
  const auto in = [&](absl::string_view folder) { return absl::StartsWith(path, folder); };
  if ((absl::StartsWith(target, "grpc") || absl::EndsWith(target, ".grpc.pb.h")) &&
      !in("server/") && !in("ctl/") && !in("tests/")) {
    return "gRPC belongs to server/ and ctl/";
  }
  if (absl::StartsWith(target, "spdlog/") && !in("server/")) return "spdlog belongs to server/";
  // One exception: the reader that the spec's and the launch document's .cc files share.
  if (absl::StartsWith(target, "nlohmann/") && absl::EndsWith(path, ".h") &&
      path != "shim/oci/json_reader.h") {
    return "JSON values never cross a header";
  }
  if (target == "seccomp.h" && !in("shim/seccomp/")) return "libseccomp belongs to shim/seccomp/";
  return "";
}

// What the monitor and the child code must not see, not even through a header of a header.
bool IsHeavy(const std::string& target) {
  return absl::StartsWith(target, "absl/") || absl::StartsWith(target, "nlohmann/") ||
         absl::StartsWith(target, "google/protobuf/") || absl::EndsWith(target, ".pb.h");
}

void FindHeavy(const Sources& sources, const std::string& path, const std::string& trail,
               std::set<std::string>* seen, std::vector<std::string>* violations) {
  const auto file = sources.find(path);
  if (file == sources.end() || !seen->insert(path).second) return;
  for (const Include& include : IncludesOf(file->second)) {
    const std::string here = absl::StrCat(trail, " -> ", include.target);
    if (IsHeavy(include.target)) {
      violations->push_back(absl::StrCat(here, ": the monitor and the child code stay small"));
    } else if (include.quoted) {
      FindHeavy(sources, include.target, here, seen, violations);
    }
  }
}

std::vector<std::string> Violations(const Sources& sources) {
  std::vector<std::string> violations;
  for (const auto& [path, text] : sources) {
    const std::string folder = FolderOf(path);
    for (const Include& include : IncludesOf(text)) {
      const std::string arrow = absl::StrCat(path, " -> ", include.target);
      if (std::string why = ForbiddenLibrary(path, include.target); !why.empty()) {
        violations.push_back(absl::StrCat(arrow, ": ", why));
      }
      // Ours is what has a folder, and generated code.
      const bool ours =
          !FolderOf(include.target).empty() ||
          (absl::EndsWith(include.target, ".pb.h") && !absl::StrContains(include.target, "/"));
      if (include.quoted && ours && !folder.empty() && !MayInclude(path, folder, include.target)) {
        violations.push_back(absl::StrCat(arrow, ": not an arrow of ", folder));
      }
    }
    if ((folder == "shim/child/" || folder == "shim/monitor/") && !IsTest(path)) {
      std::set<std::string> seen;
      FindHeavy(sources, path, path, &seen, &violations);
    }
  }
  return violations;
}

Sources ReadTree(const std::filesystem::path& root) {
  Sources sources;
  for (const char* folder : {"base", "cni", "ctl", "image", "sandbox", "server", "shim", "tests"}) {
    std::error_code error;
    for (std::filesystem::recursive_directory_iterator it(root / folder, error), end; it != end;
         it.increment(error)) {
      const std::string extension = it->path().extension().string();
      if (extension != ".h" && extension != ".cc") continue;
      std::ifstream in(it->path());
      std::stringstream text;
      text << in.rdbuf();
      sources[it->path().lexically_relative(root).string()] = text.str();
    }
  }
  return sources;
}

TEST(LayeringTest, EveryIncludeOfTheTreeFollowsAnArrow) {
  const Sources sources = ReadTree(BERTH_SOURCE_DIR);
  ASSERT_GT(sources.count("base/ids.h"), 0u) << "not the source tree: " << BERTH_SOURCE_DIR;
  for (const std::string& violation : Violations(sources)) ADD_FAILURE() << violation;
}

std::vector<std::string> ViolationsOf(const std::string& path, const std::string& include) {
  return Violations({{path, absl::StrCat("#include ", include, "\n")}});
}

TEST(LayeringTest, ArrowsAgainstTheDirectionAreFound) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"base/ids.cc", "\"base/os/file.h\""},
      {"base/os/file.cc", "\"base/store/store.h\""},
      {"base/os/file.cc", "\"shim/client.h\""},
      {"image/pull.cc", "\"shim/client.h\""},
      {"image/pull.cc", "\"cri.pb.h\""},
      {"shim/client.cc", "\"image/image_store.h\""},
      {"shim/client.cc", "\"cni/result.h\""},
      {"cni/result_test.cc", "\"image/image_store.h\""},
      {"shim/child/run.cc", "\"base/ids.h\""},
      {"shim/child/run.cc", "\"shim/monitor/state.h\""},
      {"shim/monitor/main.cc", "\"base/os/file.h\""},
      {"sandbox/runtime.cc", "\"server/config.h\""},
      {"sandbox/runtime.cc", "\"shim/child/exec.h\""},
      {"server/main.cc", "\"ctl/run.h\""},
      {"ctl/run.cc", "\"sandbox/runtime.h\""},
  };
  for (const auto& [path, include] : wrong) {
    EXPECT_THAT(ViolationsOf(path, include), ElementsAre(HasSubstr("not an arrow"))) << path;
  }
}

TEST(LayeringTest, ArrowsWithTheDirectionAreNot) {
  const std::vector<std::pair<std::string, std::string>> right = {
      {"base/os/file.cc", "\"base/ids.h\""},
      {"shim/monitor/main.cc", "\"shim/child/exec.h\""},
      {"shim/monitor/main.cc", "\"base/os/unique_fd.h\""},
      {"shim/child/run_test.cc", "\"base/os/file.h\""},
      {"image/pull.cc", "\"records.pb.h\""},
      {"sandbox/runtime.cc", "\"image/image_store.h\""},
      {"server/main.cc", "\"cri.grpc.pb.h\""},
      {"server/main.cc", "<spdlog/spdlog.h>"},
      {"shim/oci/spec.cc", "<nlohmann/json.hpp>"},
      {"shim/seccomp/compile.cc", "<seccomp.h>"},
      {"base/ids.cc", "<sys/random.h>"},
  };
  for (const auto& [path, include] : right) {
    EXPECT_THAT(ViolationsOf(path, include), IsEmpty()) << path;
  }
}

TEST(LayeringTest, LibrariesStayInTheirFolders) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"sandbox/runtime.cc", "<grpcpp/grpcpp.h>"},
      {"image/worker.cc", "<spdlog/spdlog.h>"},
      {"server/config.h", "<nlohmann/json.hpp>"},
      {"server/main.cc", "<seccomp.h>"},
  };
  for (const auto& [path, include] : wrong) {
    EXPECT_EQ(ViolationsOf(path, include).size(), 1u) << path;
  }
}

TEST(LayeringTest, AbseilIsFoundBehindAHeaderThatTheMonitorIncludes) {
  const Sources sources = {
      {"shim/monitor/main.cc", "#include \"shim/wire.h\"\n"},
      {"shim/wire.h", "  #  include \"absl/status/status.h\"\n"},
  };
  EXPECT_THAT(
      Violations(sources),
      ElementsAre(HasSubstr("shim/monitor/main.cc -> shim/wire.h -> absl/status/status.h")));
}

}  // namespace
}  // namespace berth
