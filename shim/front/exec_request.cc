#include "shim/front/exec_request.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/front/create_flags.h"

namespace berth::shim::front {
namespace {

constexpr size_t kMaxProcessFile = 4 << 20;

absl::Status SetUser(const std::string& text, oci::User* user) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  if (!absl::SimpleAtoi(parts.first, &user->uid) ||
      (absl::StrContains(text, ":") && !absl::SimpleAtoi(parts.second, &user->gid))) {
    return absl::InvalidArgumentError(absl::StrCat("--user: not uid[:gid]: ", text));
  }
  return absl::OkStatus();
}

absl::Status SetGroups(const Words& texts, oci::User* user) {
  for (const std::string& text : texts) {
    gid_t gid = 0;
    if (!absl::SimpleAtoi(text, &gid)) {
      return absl::InvalidArgumentError(absl::StrCat("--additional-gids: not a number: ", text));
    }
    user->additional_gids.push_back(gid);
  }
  return absl::OkStatus();
}

void AddCapabilities(const Words& names, oci::Capabilities* out) {
  for (const std::string& name : names) {
    for (std::vector<std::string>* set : {&out->bounding, &out->effective, &out->permitted}) {
      set->push_back(name);
    }
  }
}

}  // namespace

absl::StatusOr<ExecFlags> ParseExecFlags(const Words& words) {
  ExecFlags flags;
  ASSIGN_OR_RETURN(flags.arguments, Arguments::Parse(words, {{"console-socket"},
                                                             {"cwd"},
                                                             {"env", 'e'},
                                                             {"tty", 't', Flag::kSwitch},
                                                             {"user", 'u'},
                                                             {"additional-gids", 'g'},
                                                             {"process", 'p'},
                                                             {"detach", 'd', Flag::kSwitch},
                                                             {"pid-file"},
                                                             {"process-label"},
                                                             {"apparmor"},
                                                             {"no-new-privs", 0, Flag::kSwitch},
                                                             {"cap", 'c'},
                                                             {"preserve-fds"},
                                                             {"cgroup"},
                                                             {"ignore-paused", 0, Flag::kSwitch}}));
  const Arguments& arguments = flags.arguments;
  flags.process_file = Absolute(arguments.Text("process"));
  RETURN_IF_ERROR(flags.process_file.empty() ? arguments.Expect(2, SIZE_MAX)
                                             : arguments.Expect(1, 1));
  flags.id = arguments.words()[0];
  flags.pid_file = Absolute(arguments.Text("pid-file"));
  flags.console_socket = Absolute(arguments.Text("console-socket"));
  flags.cgroup = arguments.Text("cgroup");
  flags.detach = arguments.IsOn("detach");
  flags.ignore_paused = arguments.IsOn("ignore-paused");
  ASSIGN_OR_RETURN(const std::optional<int64_t> preserved, arguments.Number("preserve-fds"));
  RETURN_IF_ERROR(CheckPreserved(preserved.value_or(0)));
  flags.preserve_fds = static_cast<int>(preserved.value_or(0));
  return flags;
}

absl::StatusOr<oci::Process> ProcessOf(const ExecFlags& flags, const oci::Process& in) {
  if (!flags.process_file.empty()) {
    ASSIGN_OR_RETURN_CTX(const std::string text, os::ReadFile(flags.process_file, kMaxProcessFile),
                         "--process");
    absl::StatusOr<oci::Process> process = oci::ParseProcess(text);
    return process.ok() ? std::move(process) : Annotate(process.status(), flags.process_file);
  }
  const Arguments& arguments = flags.arguments;
  oci::Process process = in;
  process.args.assign(arguments.words().begin() + 1, arguments.words().end());
  process.terminal = arguments.IsOn("tty");
  process.cwd = arguments.Text("cwd", process.cwd);
  if (!absl::StartsWith(process.cwd, "/")) {
    return absl::InvalidArgumentError(absl::StrCat("--cwd: not absolute: ", process.cwd));
  }
  for (const std::string& variable : arguments.List("env")) process.env.push_back(variable);
  if (arguments.Has("user")) RETURN_IF_ERROR(SetUser(arguments.Text("user"), &process.user));
  RETURN_IF_ERROR(SetGroups(arguments.List("additional-gids"), &process.user));
  process.selinux_label = arguments.Text("process-label", process.selinux_label);
  process.apparmor_profile = arguments.Text("apparmor", process.apparmor_profile);
  if (arguments.Has("no-new-privs")) process.no_new_privileges = arguments.IsOn("no-new-privs");
  AddCapabilities(arguments.List("cap"), &process.capabilities);
  return process;
}

}  // namespace berth::shim::front
