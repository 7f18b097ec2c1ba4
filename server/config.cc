#include "server/config.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/config_options.h"

namespace berth::server {
namespace {

// sun_path has 108 bytes; a socket is bound under a temporary name up to 8 bytes longer.
constexpr size_t kSocketPathLimit = 100;

absl::Status CheckSocket(absl::string_view key, const std::string& path) {
  if (path.size() <= kSocketPathLimit) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(key, " = \"", path, "\": a socket path must not exceed ", kSocketPathLimit,
                   " bytes, this has ", path.size()));
}

bool IsInside(const std::string& path, const std::string& dir) {
  return path == dir || absl::StartsWith(path, absl::StrCat(dir, "/"));
}

}  // namespace

std::string Config::CriSocket() const {
  return server.cri_socket.empty() ? absl::StrCat(run_dir, "/berth.sock") : server.cri_socket;
}

std::string Config::AdminSocket() const {
  return server.admin_socket.empty() ? absl::StrCat(run_dir, "/admin.sock") : server.admin_socket;
}

std::string Config::ImportDir() const {
  return image.import_dir.empty() ? absl::StrCat(data_dir, "/import") : image.import_dir;
}

std::vector<std::string> NetworkConfig::BinDirs() const {
  return absl::StrSplit(bin_dirs, ':', absl::SkipEmpty());
}

absl::Status Validate(const Config& config) {
  for (const std::string& dir : config.network.BinDirs()) {
    if (dir[0] != '/') {
      return absl::InvalidArgumentError(
          absl::StrCat("network.bin_dirs: \"", dir, "\" is not an absolute path"));
    }
  }
  if (config.network.BinDirs().empty()) {
    return absl::InvalidArgumentError("network.bin_dirs must not be empty");
  }
  if (IsInside(config.data_dir, config.run_dir) || IsInside(config.run_dir, config.data_dir)) {
    return absl::InvalidArgumentError(absl::StrCat("data_dir \"", config.data_dir,
                                                   "\" and run_dir \"", config.run_dir,
                                                   "\" must not contain each other"));
  }
  if (absl::Status s = CheckSocket("server.cri_socket", config.CriSocket()); !s.ok()) return s;
  if (absl::Status s = CheckSocket("server.admin_socket", config.AdminSocket()); !s.ok()) return s;
  if (config.CriSocket() == config.AdminSocket()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "server.cri_socket and server.admin_socket are both \"", config.CriSocket(), "\""));
  }
  if (config.runtime.default_handler.empty()) {
    return absl::InvalidArgumentError("runtime.default_handler must not be empty");
  }
  if (config.runtime.cgroup_root == "/") {
    return absl::InvalidArgumentError("runtime.cgroup_root must not be the root group");
  }
  return absl::OkStatus();
}

std::string Print(const Config& config) {
  std::string out;
  absl::string_view section;
  for (const Option& option : Options()) {
    const size_t dot = option.key.find('.');
    const absl::string_view table = dot == absl::string_view::npos ? "" : option.key.substr(0, dot);
    if (table != section && !table.empty()) absl::StrAppend(&out, "\n[", table, "]\n");
    // A top-level key after a table would belong to that table.
    if (table.empty() && !section.empty()) continue;
    section = table;
    const absl::string_view name = table.empty() ? option.key : option.key.substr(dot + 1);
    const auto origin = config.origins.find(std::string(option.key));
    absl::StrAppend(&out, name, " = ", ValueText(option, config), "  # ",
                    origin == config.origins.end() ? "default" : origin->second, "\n");
  }
  return out;
}

}  // namespace berth::server
