// Reads the configuration: a TOML file, then *.toml of config.d beside it in name order, then
// flags; what comes later wins, key by key. Unknown keys, wrong types and values out of range are
// InvalidArgument with "file:line:column: key: what it must be".
// Thread-safe: no state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config.h"

namespace berth::server {

// What berthd is asked to do instead of serving.
enum class Mode { kServe, kCheckConfig, kPrintConfig, kVersion, kHelp };

struct CommandLine {
  Mode mode = Mode::kServe;
  std::string config_file = "/etc/berth/config.toml";
  bool config_file_named = false;                          // then it must exist
  std::vector<std::pair<std::string, std::string>> flags;  // in order
};

// `args` without the program's name. InvalidArgument names the flag.
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& args);
std::string HelpText();

// Applies one file's text to `config`. `name` is for messages.
absl::Status ApplyToml(const std::string& text, const std::string& name, Config* config);

// File, drop-ins and flags, validated.
absl::StatusOr<Config> LoadConfig(const CommandLine& command_line);

}  // namespace berth::server
