#include "server/config_load.h"

#include <errno.h>
#include <fcntl.h>

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "server/config_options.h"

namespace berth::server {
namespace {

constexpr size_t kFileLimit = 1 << 20;

std::string Place(const std::string& file, const toml::source_region& region) {
  return absl::StrCat(file, ":", region.begin.line, ":", region.begin.column);
}

absl::Status SetValue(const Option& option, const toml::node& node, Config* config) {
  if (const auto* text = node.as_string()) return SetText(option, text->get(), config);
  if (const auto* number = node.as_integer()) return SetNumber(option, number->get(), config);
  if (const auto* flag = node.as_boolean()) return SetSwitch(option, flag->get(), config);
  // No option is a float, date, array or table: any setter answers with what it wants.
  return SetText(option, "\n", config);
}

bool IsSection(const std::string& key) {
  for (const Option& option : Options()) {
    if (absl::StartsWith(option.key, absl::StrCat(key, "."))) return true;
  }
  return false;
}

absl::Status ApplyTable(const toml::table& table, const std::string& prefix,
                        const std::string& file, Config* config) {
  for (const auto& [name, node] : table) {
    const std::string key = absl::StrCat(prefix, std::string(name.str()));
    const Option* option = FindKey(key);
    if (option == nullptr && node.is_table() && IsSection(key)) {
      RETURN_IF_ERROR(ApplyTable(*node.as_table(), absl::StrCat(key, "."), file, config));
      continue;
    }
    const std::string place = Place(file, name.source());
    if (option == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(place, ": ", key, ": unknown key"));
    }
    RETURN_IF_ERROR_CTX(SetValue(*option, node, config), absl::StrCat(place, ": ", key));
    config->origins[key] = place;
  }
  return absl::OkStatus();
}

absl::Status ApplyFile(const std::string& path, Config* config) {
  const absl::StatusOr<std::string> text = os::ReadFile(path, kFileLimit);
  if (!text.ok()) {
    return WithCode(absl::StatusCode::kInvalidArgument, text.status(), "read configuration");
  }
  return ApplyToml(*text, path, config);
}

absl::Status ApplyDropIns(const std::string& directory, Config* config) {
  const absl::StatusOr<std::vector<std::string>> names = os::ListDir(AT_FDCWD, directory);
  if (!names.ok()) {
    if (os::IsErrno(names.status(), ENOENT)) return absl::OkStatus();
    return WithCode(absl::StatusCode::kInvalidArgument, names.status(), "read configuration");
  }
  for (const std::string& name : *names) {
    if (absl::EndsWith(name, ".toml") && name[0] != '.') {
      RETURN_IF_ERROR(ApplyFile(absl::StrCat(directory, "/", name), config));
    }
  }
  return absl::OkStatus();
}

// A path on the command line is meant from where the command was given; in a file it is absolute.
std::string FlagValue(const Option& option, const std::string& value) {
  const auto* text = std::get_if<TextOption>(&option.kind);
  const bool is_path = text != nullptr && (text->check == TextOption::Check::kAbsolutePath ||
                                           text->check == TextOption::Check::kOptionalPath);
  if (!is_path || value.empty()) return value;
  std::error_code error;
  std::string path = std::filesystem::absolute(value, error).lexically_normal().string();
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  return error ? value : path;
}

absl::StatusOr<Mode> ModeOf(const std::string& flag) {
  if (flag == "check-config") return Mode::kCheckConfig;
  if (flag == "print-config") return Mode::kPrintConfig;
  if (flag == "version") return Mode::kVersion;
  if (flag == "help") return Mode::kHelp;
  return absl::NotFoundError("not a mode");
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& args) {
  CommandLine line;
  for (size_t i = 0; i < args.size(); ++i) {
    if (!absl::StartsWith(args[i], "--")) {
      return absl::InvalidArgumentError(absl::StrCat("unexpected argument \"", args[i], "\""));
    }
    const size_t equals = args[i].find('=');
    const std::string flag = args[i].substr(2, equals == std::string::npos ? equals : equals - 2);
    const absl::StatusOr<Mode> mode = ModeOf(flag);
    if (mode.ok() && equals == std::string::npos) {
      line.mode = *mode;
      continue;
    }
    if (flag != "config" && FindFlag(flag) == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("unknown flag --", flag));
    }
    if (equals == std::string::npos && i + 1 == args.size()) {
      return absl::InvalidArgumentError(absl::StrCat("flag --", flag, " needs a value"));
    }
    std::string value = equals == std::string::npos ? args[++i] : args[i].substr(equals + 1);
    if (flag == "config") {
      line.config_file = std::move(value);
      line.config_file_named = true;
    } else {
      line.flags.emplace_back(flag, std::move(value));
    }
  }
  return line;
}

std::string HelpText() {
  std::string out =
      "usage: berthd [FLAG...]\n\n"
      "  --config FILE          read FILE and config.d/*.toml beside it\n"
      "                         (default /etc/berth/config.toml, which may be absent)\n"
      "  --check-config         say whether the configuration is good, and exit\n"
      "  --print-config         print the configuration in force, and exit\n"
      "  --version              print the version, and exit\n";
  for (const Option& option : Options()) {
    if (option.flag.empty()) continue;
    const std::string head = absl::StrCat("  --", option.flag, " VALUE");
    absl::StrAppend(&out, head, std::string(head.size() < 25 ? 25 - head.size() : 1, ' '),
                    option.help, "\n");
  }
  return out;
}

absl::Status ApplyToml(const std::string& text, const std::string& name, Config* config) {
  const toml::parse_result parsed = toml::parse(text, name);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return absl::InvalidArgumentError(
        absl::StrCat(Place(name, error.source()), ": ", std::string(error.description())));
  }
  return ApplyTable(parsed.table(), "", name, config);
}

absl::StatusOr<Config> LoadConfig(const CommandLine& command_line) {
  Config config;
  const std::string& file = command_line.config_file;
  const bool exists = os::Open(file, O_PATH).ok();
  if (exists || command_line.config_file_named) RETURN_IF_ERROR(ApplyFile(file, &config));
  const size_t slash = file.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : file.substr(0, slash);
  RETURN_IF_ERROR(ApplyDropIns(absl::StrCat(directory, "/config.d"), &config));
  for (const auto& [flag, value] : command_line.flags) {
    const Option* option = FindFlag(flag);  // ParseCommandLine let no other pass
    RETURN_IF_ERROR_CTX(SetFromFlag(*option, FlagValue(*option, value), &config),
                        absl::StrCat("--", flag, " \"", value, "\""));
    config.origins[std::string(option->key)] = absl::StrCat("--", flag);
  }
  RETURN_IF_ERROR(Validate(config));
  return config;
}

}  // namespace berth::server
