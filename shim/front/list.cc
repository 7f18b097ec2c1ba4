#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/front/container.h"

namespace berth::shim::front {
namespace {

struct Listed {
  ContainerRecord record;
  Status status;
};

// One that is deleted meanwhile is left out; one that cannot be read does not hide the others.
absl::StatusOr<std::vector<Listed>> ListAll(const Options& options) {
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, StateDir::List(options.root));
  std::vector<Listed> all;
  for (const std::string& id : ids) {
    const absl::StatusOr<Container> container = Container::Open(options, id);
    const absl::StatusOr<Status> status =
        container.ok() ? container->GetStatus() : absl::StatusOr<Status>(container.status());
    if (absl::IsNotFound(status.status())) continue;
    if (status.ok()) {
      all.push_back({container->record(), *status});
    } else {
      LogWarning(status.status().message());
    }
  }
  return all;
}

std::string Table(const std::vector<Listed>& all) {
  constexpr char kRow[] = "%-20s %-9s %-10s %-32s %-32s %s\n";
  std::string text = absl::StrFormat(kRow, "ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER");
  for (const Listed& one : all) {
    const pid_t pid = one.status == Status::kStopped ? 0 : one.record.process.pid;
    absl::StrAppendFormat(&text, kRow, one.record.id, absl::StrCat(pid), StatusName(one.status),
                          one.record.bundle, one.record.created, "root");
  }
  return text;
}

}  // namespace

absl::StatusOr<int> List(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(const Arguments arguments,
                   Arguments::Parse(words, {{"format", 'f'}, {"quiet", 'q', Flag::kSwitch}}));
  RETURN_IF_ERROR(arguments.Expect(0, 0));
  const std::string format = arguments.Text("format", "table");
  if (format != "table" && format != "json") {
    return absl::InvalidArgumentError(absl::StrCat("--format: unknown: ", format));
  }
  ASSIGN_OR_RETURN(const std::vector<Listed> all, ListAll(options));
  std::string text;
  if (arguments.IsOn("quiet")) {
    for (const Listed& one : all) absl::StrAppend(&text, one.record.id, "\n");
  } else if (format == "json") {
    std::vector<std::string> states;
    states.reserve(all.size());
    for (const Listed& one : all) states.push_back(FullState(one.record, one.status));
    text = absl::StrCat("[", absl::StrJoin(states, ","), "]\n");
  } else {
    text = Table(all);
  }
  RETURN_IF_ERROR(os::WriteAll(STDOUT_FILENO, text));
  return 0;
}

}  // namespace berth::shim::front
