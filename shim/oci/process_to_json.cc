// Writing a Process. JSON text is UTF-8 but arguments and environment are bytes: an element of
// process.args or process.env that is not valid UTF-8 is written with each byte as the code point
// of the same number (Latin-1), and its place is named in the annotation "dev.berth.latin1"
// ("args:0 env:3"), which ParseSpec undoes and takes out again. Nothing is lost, and valid UTF-8
// reads in the file as what it is.
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "shim/oci/spec_parts.h"

namespace berth::shim::oci {
namespace {

using Json = nlohmann::json;

// Length of the UTF-8 sequence at `text`, 0 when there is none (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF).
size_t SequenceLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t size = lead >= 0xC2 && lead <= 0xDF   ? 2
                      : lead >= 0xE0 && lead <= 0xEF ? 3
                      : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                     : 0;
  if (size == 0 || text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
      (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) {
    return 0;
  }
  return size;
}

bool IsUtf8(absl::string_view text) {
  while (!text.empty()) {
    const size_t n = SequenceLength(text);
    if (n == 0) return false;
    text.remove_prefix(n);
  }
  return true;
}

std::string ToLatin1Text(absl::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      text.push_back(c);
    } else {
      text.push_back(static_cast<char>(0xC0 | (byte >> 6)));
      text.push_back(static_cast<char>(0x80 | (byte & 0x3F)));
    }
  }
  return text;
}

Json ByteStrings(const std::vector<std::string>& list, absl::string_view name,
                 std::string* latin1) {
  Json out = Json::array();
  for (size_t i = 0; i < list.size(); ++i) {
    const bool plain = IsUtf8(list[i]);
    out.push_back(plain ? list[i] : ToLatin1Text(list[i]));
    if (!plain) absl::StrAppend(latin1, latin1->empty() ? "" : " ", name, ":", i);
  }
  return out;
}

void PutAttributes(const Process& process, Json* out) {
  if (process.console_height != 0 || process.console_width != 0) {
    (*out)["consoleSize"] = {{"height", process.console_height}, {"width", process.console_width}};
  }
  if (!process.apparmor_profile.empty()) (*out)["apparmorProfile"] = process.apparmor_profile;
  if (!process.selinux_label.empty()) (*out)["selinuxLabel"] = process.selinux_label;
  if (process.scheduler.has_value()) {
    const Scheduler& s = *process.scheduler;
    (*out)["scheduler"] = {{"policy", s.policy},      {"nice", s.nice},
                           {"priority", s.priority},  {"flags", s.flags},
                           {"runtime", s.runtime_ns}, {"deadline", s.deadline_ns},
                           {"period", s.period_ns}};
  }
  if (process.io_priority.has_value()) {
    (*out)["ioPriority"] = {{"class", process.io_priority->io_class},
                            {"priority", process.io_priority->priority}};
  }
  const CpuAffinity& affinity = process.exec_cpu_affinity;
  if (!affinity.initial.empty()) (*out)["execCPUAffinity"]["initial"] = affinity.initial;
  if (!affinity.final_.empty()) (*out)["execCPUAffinity"]["final"] = affinity.final_;
}

}  // namespace

Json ProcessToJson(const Process& process, std::string* latin1) {
  Json user = {{"uid", process.user.uid}, {"gid", process.user.gid}};
  if (process.user.umask.has_value()) user["umask"] = *process.user.umask;
  if (!process.user.additional_gids.empty()) {
    user["additionalGids"] = process.user.additional_gids;
  }
  const Capabilities& caps = process.capabilities;
  Json out = {{"terminal", process.terminal},
              {"user", std::move(user)},
              {"args", ByteStrings(process.args, "args", latin1)},
              {"env", ByteStrings(process.env, "env", latin1)},
              {"cwd", process.cwd},
              {"noNewPrivileges", process.no_new_privileges},
              {"capabilities",
               {{"bounding", caps.bounding},
                {"effective", caps.effective},
                {"inheritable", caps.inheritable},
                {"permitted", caps.permitted},
                {"ambient", caps.ambient}}}};
  for (const Rlimit& limit : process.rlimits) {
    out["rlimits"].push_back({{"type", limit.type}, {"hard", limit.hard}, {"soft", limit.soft}});
  }
  if (process.oom_score_adj.has_value()) out["oomScoreAdj"] = *process.oom_score_adj;
  PutAttributes(process, &out);
  return out;
}

}  // namespace berth::shim::oci
