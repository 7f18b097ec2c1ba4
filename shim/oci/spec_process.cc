// config.md, "Process".
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "shim/oci/spec_parts.h"

namespace berth::shim::oci {
namespace {

template <typename Int>
void CheckRange(const JsonReader& in, absl::string_view key, Int value, int64_t min, int64_t max) {
  const auto number = static_cast<int64_t>(value);
  if (number < min || number > max) in.Fail(key, absl::StrCat("out of range: ", value));
}

void ReadCapabilities(const JsonReader& in, Capabilities* out) {
  in.Read("bounding", &out->bounding);
  in.Read("effective", &out->effective);
  in.Read("inheritable", &out->inheritable);
  in.Read("permitted", &out->permitted);
  in.Read("ambient", &out->ambient);
}

// The last number means "leave as it is" to setuid(2): it would be the runtime's own user.
constexpr int64_t kLastId = int64_t{UINT32_MAX} - 1;

void ReadUser(const JsonReader& in, User* out) {
  in.RequireInt("uid", &out->uid);
  in.RequireInt("gid", &out->gid);
  CheckRange(in, "uid", out->uid, 0, kLastId);
  CheckRange(in, "gid", out->gid, 0, kLastId);
  in.ReadInt("umask", &out->umask);
  CheckRange(in, "umask", out->umask.value_or(0), 0, 0777);
  in.EachInt("additionalGids", [&](int64_t gid) {
    CheckRange(in, "additionalGids", gid, 0, kLastId);
    out->additional_gids.push_back(static_cast<gid_t>(gid));
  });
}

void ReadRlimits(const JsonReader& in, std::vector<Rlimit>* out) {
  std::set<std::string> seen;
  in.Each("rlimits", [&](const JsonReader& item) {
    Rlimit limit;
    item.Require("type", &limit.type);
    item.RequireInt("hard", &limit.hard);
    item.RequireInt("soft", &limit.soft);
    if (!seen.insert(limit.type).second) item.Fail("type", "appears twice");
    if (limit.soft > limit.hard) item.Fail("soft", "is above the hard limit");
    out->push_back(std::move(limit));
  });
}

// What the kernel would refuse with a bare EINVAL, sched_setattr(2).
void CheckScheduler(const JsonReader& in, const Scheduler& s) {
  const bool realtime = s.policy == "SCHED_FIFO" || s.policy == "SCHED_RR";
  const bool deadline = s.policy == "SCHED_DEADLINE";
  if (realtime) {
    CheckRange(in, "priority", s.priority, 1, 99);
  } else if (s.priority != 0) {
    in.Fail("priority", absl::StrCat(s.policy, " has none"));
  }
  CheckRange(in, "nice", s.nice, -20, 19);
  if (!deadline && (s.runtime_ns | s.deadline_ns | s.period_ns) != 0) {
    in.Fail("runtime", absl::StrCat("it, deadline and period are not of ", s.policy));
  }
  if (deadline && (s.runtime_ns == 0 || s.runtime_ns > s.deadline_ns ||
                   (s.period_ns != 0 && s.deadline_ns > s.period_ns))) {
    in.Fail("runtime", "must be above 0, not above the deadline, and that not above the period");
  }
}

void ReadScheduler(const JsonReader& in, Scheduler* out) {
  in.Require("policy", &out->policy);
  in.CheckKnown("policy", {out->policy},
                {"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE",
                 "SCHED_DEADLINE"});
  in.ReadInt("nice", &out->nice);
  in.ReadInt("priority", &out->priority);
  in.Read("flags", &out->flags);
  in.CheckKnown("flags", out->flags,
                {"SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN",
                 "SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN",
                 "SCHED_FLAG_UTIL_CLAMP_MAX"});
  in.ReadInt("runtime", &out->runtime_ns);
  in.ReadInt("deadline", &out->deadline_ns);
  in.ReadInt("period", &out->period_ns);
  CheckScheduler(in, *out);
}

void ReadIoPriority(const JsonReader& in, IoPriority* out) {
  in.Require("class", &out->io_class);
  in.CheckKnown("class", {out->io_class},
                {"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"});
  in.RequireInt("priority", &out->priority);
  CheckRange(in, "priority", out->priority, 0, 7);
}

void ReadAffinity(const JsonReader& in, CpuAffinity* out) {
  in.Read("initial", &out->initial);
  in.Read("final", &out->final_);
  for (const auto& [key, list] :
       {std::pair("initial", &out->initial), std::pair("final", &out->final_)}) {
    if (!list->empty() && !IsNumberList(*list)) {
      in.Fail(key, absl::StrCat("is no list of CPUs: \"", *list, "\""));
    }
  }
}

// Ignored without a terminal: not even looked at.
void ReadConsoleSize(const JsonReader& in, Process* out) {
  if (!out->terminal || !in.Has("consoleSize")) return;
  const JsonReader size = in.Object("consoleSize");
  size.RequireInt("height", &out->console_height);
  size.RequireInt("width", &out->console_width);
}

}  // namespace

bool IsNumberList(absl::string_view text) {
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    part = absl::StripAsciiWhitespace(part);
    const std::pair<absl::string_view, absl::string_view> ends =
        absl::StrSplit(part, absl::MaxSplits('-', 1));
    uint32_t first = 0;
    uint32_t last = 0;
    // SimpleAtoi takes signs and spaces, too.
    if (part.find_first_not_of("0123456789-") != absl::string_view::npos ||
        !absl::SimpleAtoi(ends.first, &first)) {
      return false;
    }
    const bool is_range = part.find('-') != absl::string_view::npos;
    if (is_range && (!absl::SimpleAtoi(ends.second, &last) || last < first)) return false;
  }
  return true;
}

void ReadProcess(const JsonReader& in, Process* out) {
  in.Read("terminal", &out->terminal);
  ReadConsoleSize(in, out);
  if (in.Has("user")) ReadUser(in.Object("user"), &out->user);
  in.Require("args", &out->args);
  if (out->args.empty()) in.Fail("args", "must not be empty");
  in.Read("env", &out->env);
  in.Require("cwd", &out->cwd);
  if (!absl::StartsWith(out->cwd, "/")) in.Fail("cwd", "must be an absolute path");
  ReadCapabilities(in.Object("capabilities"), &out->capabilities);
  ReadRlimits(in, &out->rlimits);
  in.Read("noNewPrivileges", &out->no_new_privileges);
  in.ReadInt("oomScoreAdj", &out->oom_score_adj);
  CheckRange(in, "oomScoreAdj", out->oom_score_adj.value_or(0), -1000, 1000);
  in.Read("apparmorProfile", &out->apparmor_profile);
  in.Read("selinuxLabel", &out->selinux_label);
  if (in.Has("scheduler")) ReadScheduler(in.Object("scheduler"), &out->scheduler.emplace());
  if (in.Has("ioPriority")) ReadIoPriority(in.Object("ioPriority"), &out->io_priority.emplace());
  ReadAffinity(in.Object("execCPUAffinity"), &out->exec_cpu_affinity);
}

}  // namespace berth::shim::oci
