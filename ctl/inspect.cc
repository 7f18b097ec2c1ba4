// state, check, metrics and failpoints: what the admin API says, for people and scripts.
#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "ctl/args.h"
#include "ctl/commands.h"
#include "ctl/output.h"
#include "ctl/table.h"

namespace berth::ctl {
namespace {

absl::StatusOr<bool> WantsJson(const Words& words, absl::string_view command) {
  ASSIGN_OR_RETURN(const Args args, Args::Parse({{"json", 'j', false}}, words, Order::kAnywhere));
  if (args.rest().empty()) return args.Has("json");
  return absl::InvalidArgumentError(absl::StrCat(command, " takes no arguments"));
}

absl::Status PrintJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) {
    return absl::InternalError("print reply: it does not fit JSON");
  }
  return Print(text);
}

std::string StateText(const admin::StateResponse& s) {
  Table table(
      {"berthd " + s.version(), absl::StrCat("pid ", s.pid(), ", up ", Age(s.started_at()))});
  table.Add(
      {"data directory", absl::StrCat(s.data_dir(), " (", s.data_dir_id().substr(0, 13), ")")});
  table.Add({"run directory", s.run_dir()});
  table.Add({"import directory", s.import_dir()});
  table.Add({"CRI socket", s.cri_socket()});
  table.Add({"admin socket", s.admin_socket()});
  table.Add({"cgroups", absl::StrCat(s.cgroup_layout(), ", ", s.cgroup_root(), "; limits ",
                                     absl::StrJoin(s.cgroup_controllers(), ", "))});
  table.Add({"shim source", s.shim_source()});
  table.Add({"kernel", s.kernel_release()});
  table.Add({"pods", absl::StrCat(s.pods())});
  table.Add({"containers", absl::StrCat(s.containers(), ", ", s.running_containers(), " running")});
  table.Add({"images", absl::StrCat(s.images())});
  for (const admin::PullState& pull : s.pulls()) {
    table.Add(
        {"pull", absl::StrCat(pull.reference(), ", ", Bytes(pull.bytes_received()), " of ",
                              Bytes(pull.bytes_total()), ", ", static_cast<int64_t>(pull.seconds()),
                              " s, ", pull.callers(), pull.callers() == 1 ? " caller" : " callers",
                              pull.queued() ? ", queued" : "")});
  }
  table.Add({"quarantined records", absl::StrCat(s.quarantined_records())});
  table.Add({"calls in flight", absl::StrCat(s.calls_in_flight())});
  table.Add({"daemon", absl::StrCat(Bytes(static_cast<uint64_t>(s.resident_bytes())), " resident, ",
                                    s.open_fds(), " fds, ", s.threads(), " threads")});
  return table.Text();
}

const char* VerdictName(admin::HostCheck::Verdict verdict) {
  switch (verdict) {
    case admin::HostCheck::OK:
      return "ok";
    case admin::HostCheck::ABSENT:
      return "absent";
    default:  // FAILED, and what a newer daemon may say
      return "FAILED";
  }
}

}  // namespace

absl::StatusOr<int> State(const Context& context, const Words& words) {
  ASSIGN_OR_RETURN(const bool json, WantsJson(words, "state"));
  ASSIGN_OR_RETURN(const admin::StateResponse state, context.admin->State());
  RETURN_IF_ERROR(json ? PrintJson(state) : Print(StateText(state)));
  return 0;
}

absl::StatusOr<int> Check(const Context& context, const Words& words) {
  ASSIGN_OR_RETURN(const bool json, WantsJson(words, "check"));
  ASSIGN_OR_RETURN(const admin::CheckResponse reply, context.admin->Check());
  Table table({"CHECK", "RESULT", "DETAIL"});
  for (const admin::HostCheck& check : reply.checks()) {
    table.Add({check.name(), VerdictName(check.verdict()), check.detail()});
  }
  RETURN_IF_ERROR(json ? PrintJson(reply) : Print(table.Text()));
  const bool failed = std::any_of(
      reply.checks().begin(), reply.checks().end(),
      [](const admin::HostCheck& c) { return c.verdict() == admin::HostCheck::FAILED; });
  return failed ? 1 : 0;
}

absl::StatusOr<int> Metrics(const Context& context, const Words& words) {
  if (!words.empty()) return absl::InvalidArgumentError("metrics takes no arguments");
  ASSIGN_OR_RETURN(const std::string text, context.admin->Metrics());
  RETURN_IF_ERROR(Print(text));
  return 0;
}

absl::StatusOr<int> Failpoints(const Context& context, const Words& words) {
  admin::FailpointsRequest request;
  if (words.size() == 2 && words[0] == "set") {
    request.set_plan(words[1]);
  } else if (words.size() != 1 || words[0] != "list") {
    return absl::InvalidArgumentError("failpoints needs list, or set PLAN");
  }
  ASSIGN_OR_RETURN(const auto reply, context.admin->Failpoints(request));
  if (!request.has_plan()) {
    for (const std::string& name : reply.names()) RETURN_IF_ERROR(Print(name + "\n"));
  }
  return 0;
}

}  // namespace berth::ctl
