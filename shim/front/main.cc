// berth-oci: the OCI runtime on the command line, where an engine has runc. The same runtime
// library as berth-shim; nothing of it stays beside the container.
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/front/arguments.h"
#include "shim/front/commands.h"
#include "shim/front/messages.h"
#include "shim/front/options.h"

namespace berth::shim::front {
namespace {

struct Command {
  const char* name;
  absl::StatusOr<int> (*run)(const Options& options, const Words& words);
  const char* usage;
};

constexpr Command kCommands[] = {
    {"create", Create, "[--bundle DIR] [--pid-file FILE] [--console-socket SOCKET] ID"},
    {"start", Start, "ID"},
    {"run", Run, "[--detach] [create's flags] ID"},
    {"kill", Kill, "[--all] ID [SIGNAL]"},
    {"delete", Delete, "[--force] ID"},
    {"state", State, "ID"},
    {"exec", Exec, "[--detach] [--process FILE] [--user UID[:GID]] [--env K=V] ID WORD..."},
    {"list", List, "[--format table|json] [--quiet]"},
    {"ps", Ps, "[--format table|json] ID"},
    {"pause", Pause, "ID"},
    {"resume", Resume, "ID"},
    {"update", Update, "[--resources FILE] [--memory BYTES] [--cpu-quota N] ... ID"},
    {"events", Events, "[--stats] [--interval TIME] ID"},
    {"features", Features, ""},
    {"spec", Spec, "[--bundle DIR]"},
};

std::string Usage() {
  std::string text =
      "usage: berth-oci [--root DIR] [--log FILE] [--log-format text|json] [--debug] COMMAND ...\n";
  for (const Command& command : kCommands) {
    absl::StrAppend(&text, "  ", command.name, " ", command.usage, "\n");
  }
  return text;
}

std::string Version() {
  return absl::StrCat("berth-oci version ", BERTH_VERSION, "\nspec: 1.3.0\n");
}

absl::StatusOr<Options> OptionsOf(const Arguments& arguments) {
  Options options;
  options.root = Absolute(arguments.Text("root", options.root));
  options.log = Absolute(arguments.Text("log"));
  options.debug = arguments.IsOn("debug");
  const std::string format = arguments.Text("log-format", "text");
  if (format != "text" && format != "json") {
    return absl::InvalidArgumentError(absl::StrCat("--log-format: unknown: ", format));
  }
  if (format == "json") options.log_format = LogFormat::kJson;
  return options;
}

absl::StatusOr<int> RunCommand(const Options& options, const Arguments& arguments) {
  const Words& words = arguments.words();
  if (words.empty()) return absl::InvalidArgumentError(absl::StrCat("no command\n", Usage()));
  if (arguments.IsOn("systemd-cgroup")) {
    return absl::UnimplementedError("--systemd-cgroup: is not offered");
  }
  for (const Command& command : kCommands) {
    if (words[0] == command.name)
      return command.run(options, Words(words.begin() + 1, words.end()));
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown command: ", words[0], "\n", Usage()));
}

int Main(const Words& words) {
  const absl::StatusOr<Arguments> arguments =
      Arguments::Parse(words, {{"root"},
                               {"log"},
                               {"log-format"},
                               {"debug", 0, Flag::kSwitch},
                               {"systemd-cgroup", 0, Flag::kSwitch},
                               {"rootless"},
                               {"criu"},
                               {"help", 'h', Flag::kSwitch},
                               {"version", 'v', Flag::kSwitch}});
  if (arguments.ok() && (arguments->IsOn("help") || arguments->IsOn("version"))) {
    return os::WriteAll(STDOUT_FILENO, arguments->IsOn("help") ? Usage() : Version()).ok() ? 0 : 1;
  }
  const absl::StatusOr<Options> options =
      arguments.ok() ? OptionsOf(*arguments) : absl::StatusOr<Options>(arguments.status());
  Messages messages(options.ok() ? *options : Options());
  const absl::StatusOr<int> code =
      options.ok() ? RunCommand(*options, *arguments) : absl::StatusOr<int>(options.status());
  if (code.ok()) return *code;
  LogError(code.status().message());
  return 1;
}

}  // namespace

std::string Absolute(const std::string& path) {
  if (path.empty() || path[0] == '/') return path;
  char* const here = getcwd(nullptr, 0);
  std::string absolute = absl::StrCat(here == nullptr ? "" : here, "/", path);
  free(here);
  return absolute;
}

}  // namespace berth::shim::front

int main(int argc, char** argv) {
  return berth::shim::front::Main(
      berth::shim::front::Words(argv + (argc > 0 ? 1 : 0), argv + argc));
}
