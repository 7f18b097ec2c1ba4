#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/front/container.h"

namespace berth::shim::front {
namespace {

constexpr size_t kMaxFile = 1 << 20;
constexpr size_t kStateField = 0;  // of what stands behind the name in /proc/PID/stat
constexpr size_t kParentField = 1;
constexpr size_t kUserTimeField = 11;
constexpr size_t kSystemTimeField = 12;

// The name of a line of /proc/PID/status, "Uid", and its first value.
std::string StatusValue(const std::string& text, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, absl::ByAnyChar(":\t "), absl::SkipEmpty());
    if (fields.size() > 1 && fields[0] == key) return std::string(fields[1]);
  }
  return "?";
}

// "" when it has ended meanwhile.
std::string Row(pid_t pid) {
  const std::string dir = absl::StrCat("/proc/", pid);
  const absl::StatusOr<std::string> stat = os::ReadFile(dir + "/stat", kMaxFile);
  const absl::StatusOr<std::string> status = os::ReadFile(dir + "/status", kMaxFile);
  absl::StatusOr<std::string> command = os::ReadFile(dir + "/cmdline", kMaxFile);
  if (!stat.ok() || !status.ok() || !command.ok()) return "";
  const std::vector<std::string> fields =
      absl::StrSplit(stat->substr(std::min(stat->size(), stat->rfind(')') + 2)), ' ');
  if (fields.size() <= kSystemTimeField) return "";
  std::replace(command->begin(), command->end(), '\0', ' ');
  if (command->empty()) command = absl::StrCat("[", StatusValue(*status, "Name"), "]");
  uint64_t user = 0;
  uint64_t system = 0;
  if (!absl::SimpleAtoi(fields[kUserTimeField], &user) ||
      !absl::SimpleAtoi(fields[kSystemTimeField], &system)) {
    return "";
  }
  const uint64_t seconds = (user + system) / static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  return absl::StrFormat("%-8s %7d %7s %-4s %02d:%02d:%02d %s\n", StatusValue(*status, "Uid"), pid,
                         fields[kParentField], fields[kStateField], seconds / 3600,
                         seconds / 60 % 60, seconds % 60, *command);
}

}  // namespace

absl::StatusOr<int> Ps(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(const Arguments arguments, Arguments::Parse(words, {{"format", 'f'}}));
  RETURN_IF_ERROR(arguments.Expect(1, 1));
  const std::string format = arguments.Text("format", "table");
  if (format != "table" && format != "json") {
    return absl::InvalidArgumentError(absl::StrCat("--format: unknown: ", format));
  }
  ASSIGN_OR_RETURN(const Container container, Container::Open(options, arguments.words()[0]));
  ASSIGN_OR_RETURN(const std::vector<pid_t> pids,
                   container.cgroups().Pids(container.record().cgroup));
  std::string text;
  if (format == "json") {
    text = absl::StrCat("[", absl::StrJoin(pids, ","), "]\n");
  } else {
    text =
        absl::StrFormat("%-8s %7s %7s %-4s %8s %s\n", "UID", "PID", "PPID", "STAT", "TIME", "CMD");
    for (const pid_t pid : pids) absl::StrAppend(&text, Row(pid));
  }
  RETURN_IF_ERROR(os::WriteAll(STDOUT_FILENO, text));
  return 0;
}

}  // namespace berth::shim::front
