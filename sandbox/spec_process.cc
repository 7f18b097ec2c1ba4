#include "sandbox/spec_process.h"

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "sandbox/text_rules.h"
#include "sandbox/unimplemented.h"

namespace berth::sandbox {
namespace {

constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool HasNul(absl::string_view text) { return text.find('\0') != absl::string_view::npos; }

// Variables in order, each key once.
class Environment {
 public:
  void Set(const std::string& key, absl::string_view value) {
    const auto [it, inserted] = places_.try_emplace(key, variables_.size());
    if (inserted) variables_.emplace_back();
    variables_[it->second] = absl::StrCat(key, "=", value);
  }
  std::vector<std::string> Take() && { return std::move(variables_); }

 private:
  std::map<std::string, size_t> places_;
  std::vector<std::string> variables_;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> ResolveCommand(const cri::ContainerConfig& config,
                                                        const image::ImageConfig& image) {
  std::vector<std::string> command(config.command().begin(), config.command().end());
  std::vector<std::string> args(config.args().begin(), config.args().end());
  if (command.empty()) {
    command = image.entrypoint;
    if (args.empty()) args = image.cmd;
  }
  command.insert(command.end(), args.begin(), args.end());
  if (command.empty() || command[0].empty()) {
    return Invalid("config.command",
                   "nothing to run: neither the request nor the image names a command");
  }
  for (const std::string& arg : command) {
    if (HasNul(arg)) return Invalid("config.command", "an argument contains a NUL byte");
  }
  return command;
}

absl::StatusOr<std::string> ResolveWorkingDir(const cri::ContainerConfig& config,
                                              const image::ImageConfig& image) {
  std::string dir = config.working_dir().empty() ? image.working_dir : config.working_dir();
  if (dir.empty()) dir.push_back('/');  // not = "/": gcc 12 warns of an overlap in vain
  if (dir[0] != '/' || HasControlByte(dir)) {
    return Invalid("config.working_dir", absl::StrCat("\"", dir, "\" is not an absolute path"));
  }
  return dir;
}

absl::StatusOr<std::vector<std::string>> ResolveEnv(const cri::ContainerConfig& config,
                                                    const image::ImageConfig& image,
                                                    const std::string& hostname,
                                                    const std::string& home) {
  if (HasControlByte(home))
    return Invalid("HOME", "the image's passwd gives one with a control byte");
  Environment env;
  env.Set("PATH", kDefaultPath);
  env.Set("HOSTNAME", hostname);
  env.Set("HOME", home);
  if (config.tty()) env.Set("TERM", "xterm");
  for (const std::string& variable : image.env) {
    const size_t equals = variable.find('=');
    if (equals == 0 || equals == std::string::npos || HasNul(variable)) continue;  // as peers do
    env.Set(variable.substr(0, equals), absl::string_view(variable).substr(equals + 1));
  }
  for (const cri::KeyValue& kv : config.envs()) {
    if (kv.key().empty() || absl::StrContains(kv.key(), '=') || HasNul(kv.key())) {
      return Invalid("config.envs", absl::StrCat("\"", kv.key(), "\" is not a variable's name"));
    }
    if (HasNul(kv.value())) {
      return Invalid("config.envs", absl::StrCat(kv.key(), " contains a NUL byte"));
    }
    if (kv.key() == "HOME" && HasControlByte(kv.value())) {
      return Invalid("config.envs", "HOME contains a control byte");
    }
    env.Set(kv.key(), kv.value());
  }
  return std::move(env).Take();
}

}  // namespace berth::sandbox
