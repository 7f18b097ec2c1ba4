#include "shim/seccomp/profile_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "base/status_macros.h"
#include "shim/oci/json_reader.h"
#include "shim/seccomp/profile_names.h"

namespace berth::shim::seccomp {
namespace {

using oci::JsonReader;

constexpr int kMaxErrno = 4095;  // MAX_ERRNO of the kernel

// Where the text stops to be JSON.
class SyntaxCheck : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t at, const std::string&, const nlohmann::detail::exception&) override {
    position = at;
    return false;
  }
  size_t position = 0;  // bytes read when it failed, counted from 1
};

std::string SyntaxErrorOf(absl::string_view text) {
  SyntaxCheck check;
  (void)nlohmann::json::sax_parse(text.begin(), text.end(), &check);  // known to fail
  const absl::string_view before =
      text.substr(0, check.position == 0 ? 0 : std::min(check.position - 1, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t start = before.rfind('\n');
  const size_t column = before.size() - (start == absl::string_view::npos ? 0 : start + 1) + 1;
  return absl::StrCat("line ", line, ", column ", column, ": not valid JSON");
}

// The host's own as Docker's "arches" name it.
constexpr char kOwnArch[] =
#if defined(__x86_64__)
    "amd64";
#else
    "arm64";
#endif

Action ReadAction(const JsonReader& in, absl::string_view key) {
  std::string name;
  in.Require(key, &name);
  const std::optional<Action> known = ActionNamed(name);
  if (!known) in.Fail(key, absl::StrCat("unknown action \"", name, "\""));
  return known.value_or(Action::kErrno);
}

// `number`: the key of the errno as a number. EPERM where nothing is said.
Verdict ReadVerdict(const JsonReader& in, absl::string_view action, absl::string_view number) {
  Verdict verdict;
  verdict.action = ReadAction(in, action);
  int data = EPERM;
  in.ReadInt(number, &data);
  // "When the action doesn't support an errno, the runtime MUST print and error and fail."
  if (in.Has(number) && !verdict.HasData()) {
    in.Fail(number, absl::StrCat("goes with SCMP_ACT_ERRNO and SCMP_ACT_TRACE, not with what ",
                                 action, " says"));
  }
  const int most = verdict.action == Action::kTrace ? UINT16_MAX : kMaxErrno;
  if (data < 0 || data > most) in.Fail(number, absl::StrCat(data, " is not an errno"));
  verdict.data = verdict.HasData() ? static_cast<uint16_t>(data) : 0;
  return verdict;
}

void AddArchitecture(const JsonReader& in, absl::string_view key, const std::string& name,
                     std::vector<Architecture>* architectures) {
  const std::optional<NamedArchitecture> known = ArchitectureNamed(name);
  if (!known) return in.Fail(key, absl::StrCat("unknown architecture \"", name, "\""));
  const std::vector<Architecture> host = HostArchitectures();
  const auto has = [&](const std::vector<Architecture>& list) {
    return std::find(list.begin(), list.end(), *known->runs) != list.end();
  };
  if (known->runs && has(host) && !has(*architectures)) architectures->push_back(*known->runs);
}

std::vector<Architecture> ReadArchitectures(const JsonReader& in) {
  std::vector<Architecture> architectures = {HostArchitectures()[0]};
  std::vector<std::string> names;
  in.Read("architectures", &names);
  for (const std::string& name : names) AddArchitecture(in, "architectures", name, &architectures);
  if (!names.empty() && in.Has("archMap")) in.Fail("archMap", "given beside architectures");
  in.Each("archMap", [&](const JsonReader& entry) {
    std::string own;
    std::vector<std::string> others;
    entry.Require("architecture", &own);
    entry.Read("subArchitectures", &others);
    std::vector<Architecture> of_entry;
    AddArchitecture(entry, "architecture", own, &of_entry);
    const bool is_hosts = !of_entry.empty() && of_entry[0] == HostArchitectures()[0];
    for (const std::string& name : others) {
      AddArchitecture(entry, "subArchitectures", name, &of_entry);
    }
    if (!is_hosts) return;
    for (size_t i = 1; i < of_entry.size(); ++i) architectures.push_back(of_entry[i]);
  });
  return architectures;
}

void ReadFlags(const JsonReader& in, Profile* profile) {
  std::vector<std::string> flags;
  in.Read("flags", &flags);
  for (size_t i = 0; i < flags.size(); ++i) {
    const std::optional<uint32_t> flag = FlagNamed(flags[i]);
    if (!flag) {
      return in.Fail(absl::StrCat("flags[", i, "]"),
                     absl::StrCat("unknown flag \"", flags[i], "\""));
    }
    profile->flags |= *flag;
  }
}

// What "write" gets whatever its arguments; nullopt: they decide.
std::optional<Verdict> VerdictOfWrite(const Profile& profile) {
  bool has_conditions = false;
  for (const Rule& rule : profile.rules) {
    if (std::find(rule.names.begin(), rule.names.end(), "write") == rule.names.end()) continue;
    if (rule.conditions.empty()) return rule.verdict;
    has_conditions = true;
  }
  if (has_conditions) return std::nullopt;
  return profile.default_verdict;
}

void ReadListener(const JsonReader& in, Profile* profile) {
  in.Read("listenerPath", &profile->listener_path);
  in.Read("listenerMetadata", &profile->listener_metadata);
  if (!profile->listener_metadata.empty() && profile->listener_path.empty()) {
    in.Fail("listenerMetadata", "given without listenerPath");
  }
  if (!AsksListener(*profile)) return;
  if (profile->listener_path.empty()) {
    return in.Fail("listenerPath", "is required: SCMP_ACT_NOTIFY is used");
  }
  if (profile->listener_path[0] != '/' || profile->listener_path.back() == '/' ||
      profile->listener_path.find('\0') != std::string::npos) {
    return in.Fail("listenerPath", "must be the absolute path of a socket");
  }
  // Between the load of the filter and the moment when the agent has its listener the process makes
  // one call, and nobody could answer for it.
  const std::optional<Verdict> write = VerdictOfWrite(*profile);
  if (write && (write->action == Action::kAllow || write->action == Action::kLog)) return;
  in.Fail(
      "syscalls",
      "\"write\" must be allowed where SCMP_ACT_NOTIFY is used: the listener is handed over by it");
}

// "4.8": is the running kernel at least that?
bool IsKernelAtLeast(const JsonReader& in, const ProfileContext& context) {
  std::string text;
  in.Read("minKernel", &text);
  int major = 0;
  int minor = 0;
  char rest = 0;
  if (sscanf(text.c_str(), "%d.%d%c", &major, &minor, &rest) != 2) {
    in.Fail("minKernel", absl::StrCat("\"", text, "\" is not a version like 5.14"));
    return false;
  }
  return std::pair(context.kernel_major, context.kernel_minor) >= std::pair(major, minor);
}

bool HasCapability(const JsonReader& in, const std::string& name, const ProfileContext& context) {
  const absl::StatusOr<int> number = os::CapabilityNumber(name);
  if (absl::IsInvalidArgument(number.status())) {
    in.Fail("caps", absl::StrCat("\"", name, "\" is not a capability"));
  }
  return number.ok() && ((context.bounding >> *number) & 1) != 0;
}

bool HasOwnArch(const std::vector<std::string>& arches) {
  return std::find(arches.begin(), arches.end(), kOwnArch) != arches.end();
}

// Docker's filters: every included condition must hold, and no excluded one.
bool Applies(const JsonReader& rule, const ProfileContext& context) {
  bool applies = true;
  const JsonReader includes = rule.Object("includes");
  const JsonReader excludes = rule.Object("excludes");
  std::vector<std::string> caps;
  std::vector<std::string> arches;
  includes.Read("caps", &caps);
  includes.Read("arches", &arches);
  for (const std::string& cap : caps) applies = HasCapability(includes, cap, context) && applies;
  if (!arches.empty() && !HasOwnArch(arches)) applies = false;
  if (includes.Has("minKernel") && !IsKernelAtLeast(includes, context)) applies = false;
  caps.clear();
  arches.clear();
  excludes.Read("caps", &caps);
  excludes.Read("arches", &arches);
  for (const std::string& cap : caps) applies = !HasCapability(excludes, cap, context) && applies;
  if (HasOwnArch(arches)) applies = false;
  if (excludes.Has("minKernel") && IsKernelAtLeast(excludes, context)) applies = false;
  return applies;
}

std::vector<Condition> ReadConditions(const JsonReader& rule) {
  std::vector<Condition> conditions;
  rule.Each("args", [&](const JsonReader& in) {
    Condition condition;
    std::string op;
    uint64_t value = 0;
    uint64_t second = 0;
    in.ReadInt("index", &condition.argument);
    in.ReadInt("value", &value);
    in.ReadInt("valueTwo", &second);
    in.Require("op", &op);
    for (const char* key : {"index", "value"}) {
      if (!in.Has(key)) return in.Fail(key, "is required");
    }
    const std::optional<Comparison> known = ComparisonNamed(op);
    if (!known) return in.Fail("op", absl::StrCat("unknown comparison \"", op, "\""));
    if (condition.argument > 5) in.Fail("index", "a call has arguments 0 to 5");
    condition.comparison = *known;
    const bool masked = *known == Comparison::kMaskedEqual;
    condition.mask = masked ? value : 0;
    condition.value = masked ? second : value;
    conditions.push_back(condition);
  });
  return conditions;
}

// Conditions on several arguments must all hold; several on one argument are alternatives, as
// profiles in use mean them (runc reads them so: libseccomp cannot say "both" of one argument).
void AddRules(Rule rule, std::vector<Rule>* rules) {
  std::set<uint32_t> arguments;
  for (const Condition& condition : rule.conditions) arguments.insert(condition.argument);
  if (arguments.size() == rule.conditions.size()) {
    rules->push_back(std::move(rule));
    return;
  }
  for (const Condition& condition : rule.conditions) {
    rules->push_back(Rule{rule.names, rule.verdict, {condition}});
  }
}

void ReadRule(const JsonReader& in, const ProfileContext& context, Profile* profile) {
  Rule rule;
  in.Read("names", &rule.names);
  if (in.Has("name")) {
    std::string name;
    in.Read("name", &name);
    if (!rule.names.empty()) in.Fail("name", "given beside names");
    rule.names = {name};
  }
  if (rule.names.empty()) in.Fail("names", "must not be empty");
  rule.verdict = ReadVerdict(in, "action", "errnoRet");
  rule.conditions = ReadConditions(in);
  // A rule that says what holds anyway is none.
  if (Applies(in, context) && rule.verdict != profile->default_verdict) {
    AddRules(std::move(rule), &profile->rules);
  }
}

}  // namespace

ProfileContext ContextOf(uint64_t bounding) {
  ProfileContext context;
  context.bounding = bounding;
  utsname name{};
  // Fails only for a bad address; a release that is no version is one that is older than any.
  if (uname(&name) == 0) {
    (void)sscanf(name.release, "%d.%d", &context.kernel_major, &context.kernel_minor);
  }
  return context;
}

absl::StatusOr<std::string> ReadProfileFile(const std::string& path) {
  const auto invalid = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("read ", path, ": ", why));
  };
  const absl::StatusOr<os::UniqueFd> found = os::Open(path, O_PATH);
  if (!found.ok()) {
    return WithCode(absl::StatusCode::kInvalidArgument, found.status(), "read profile");
  }
  struct stat st;
  if (fstat(found->get(), &st) != 0) return invalid(os::ErrnoText(errno));
  if (!S_ISREG(st.st_mode)) return invalid("not a regular file");
  absl::StatusOr<std::string> text =
      os::ReadFile(absl::StrCat("/proc/self/fd/", found->get()), kMaxProfileBytes);
  if (!text.ok()) {
    return WithCode(absl::StatusCode::kInvalidArgument, text.status(), absl::StrCat("read ", path));
  }
  return text;
}

absl::StatusOr<Profile> ParseProfile(absl::string_view json, const ProfileContext& context) {
  const absl::StatusOr<nlohmann::json> value = oci::ParseJsonObject(json);
  if (!value.ok()) {
    if (nlohmann::json::accept(json.begin(), json.end())) return value.status();
    return absl::InvalidArgumentError(SyntaxErrorOf(json));
  }
  absl::Status error;
  const JsonReader in(&*value, "", &error);
  Profile profile;
  profile.default_verdict = ReadVerdict(in, "defaultAction", "defaultErrnoRet");
  profile.architectures = ReadArchitectures(in);
  ReadFlags(in, &profile);
  in.Each("syscalls", [&](const JsonReader& rule) { ReadRule(rule, context, &profile); });
  ReadListener(in, &profile);
  RETURN_IF_ERROR(error);
  return profile;
}

}  // namespace berth::shim::seccomp
