#include "server/config_options.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"

namespace berth::server {
namespace {

using Check = TextOption::Check;
constexpr int64_t kKiB = 1ll << 10;
constexpr int64_t kMiB = 1ll << 20;
constexpr int64_t kGiB = 1ll << 30;

// One line a key: BERTH_FIELD(std::string, server.cri_socket) is a function to that member.
// NOLINTNEXTLINE(bugprone-macro-parentheses): a type and a member, not expressions
#define BERTH_FIELD(type, member) [](Config& c) -> type& { return c.member; }

std::vector<Option> PathOptions() {
  return {
      {"data_dir", "root", TextOption{BERTH_FIELD(std::string, data_dir), Check::kAbsolutePath},
       "images, layers, container file systems and the database"},
      {"run_dir", "state", TextOption{BERTH_FIELD(std::string, run_dir), Check::kAbsolutePath},
       "sockets, pins and what lasts until the next boot"},
      {"log.level", "log-level",
       ChoiceOption{{"debug", "info", "warning", "error"},
                    [](Config& c, size_t i) { c.log.level = static_cast<LogLevel>(i); },
                    [](const Config& c) { return static_cast<size_t>(c.log.level); }},
       "lines below it are not written; read again on SIGHUP"},
      {"log.format", "log-format",
       ChoiceOption{{"text", "json"},
                    [](Config& c, size_t i) { c.log.format = static_cast<LogFormat>(i); },
                    [](const Config& c) { return static_cast<size_t>(c.log.format); }},
       "key=value text, or one JSON object a line"},
  };
}

std::vector<Option> ServerOptions() {
  return {
      {"server.cri_socket", "cri-socket",
       TextOption{BERTH_FIELD(std::string, server.cri_socket), Check::kOptionalPath},
       "where kubelet connects; empty: berth.sock in run_dir"},
      {"server.cri_socket_group", "",
       TextOption{BERTH_FIELD(std::string, server.cri_socket_group), Check::kWord},
       "group, by name or number, that may use the CRI socket; empty: root only"},
      {"server.admin_socket", "admin-socket",
       TextOption{BERTH_FIELD(std::string, server.admin_socket), Check::kOptionalPath},
       "where berthctl connects for imports, state, checks and metrics; empty: admin.sock in "
       "run_dir"},
      {"server.lifecycle_threads", "",
       NumberOption{BERTH_FIELD(int64_t, server.lifecycle_threads), 1, 512},
       "creates, starts and removals that run at the same time"},
      {"server.lifecycle_queue_calls", "",
       NumberOption{BERTH_FIELD(int64_t, server.lifecycle_queue_calls), 1, 65536},
       "such calls that may queue for a thread; one more is answered ResourceExhausted"},
      {"server.waiting_calls_max", "",
       NumberOption{BERTH_FIELD(int64_t, server.waiting_calls_max), 16, 16384},
       "stops, execs and imports under way at once, a thread each; one more is answered "
       "ResourceExhausted"},
      {"server.slow_call_ms", "",
       DurationOption{BERTH_FIELD(absl::Duration, server.slow_call), absl::Milliseconds(1), 1,
                      3600000},
       "a successful call that took longer is logged; stops, execs and imports are not"},
      {"server.shutdown_grace_ms", "",
       DurationOption{BERTH_FIELD(absl::Duration, server.shutdown_grace), absl::Milliseconds(1), 0,
                      600000},
       "how long a stopping daemon waits for calls under way"},
  };
}

std::vector<Option> ImageOptions() {
  return {
      {"image.import_dir", "import-dir",
       TextOption{BERTH_FIELD(std::string, image.import_dir), Check::kOptionalPath},
       "each *.tar in it is imported, pinned, before the CRI socket opens; empty: import in "
       "data_dir"},
      {"image.worker_path", "image-worker",
       TextOption{BERTH_FIELD(std::string, image.worker_path), Check::kAbsolutePath},
       "the berth-image program"},
      {"image.layer_limit_gib", "",
       NumberOption{BERTH_FIELD(int64_t, image.layer_limit_bytes), 1, 4096, kGiB},
       "an image with a larger unpacked layer is refused"},
      {"image.archive_limit_gib", "",
       NumberOption{BERTH_FIELD(int64_t, image.archive_limit_bytes), 1, 16384, kGiB},
       "a larger archive sent to the admin API is refused"},
      {"image.import_timeout_seconds", "",
       DurationOption{BERTH_FIELD(absl::Duration, image.import_timeout), absl::Seconds(1), 1,
                      86400},
       "an import that takes longer is given up"},
      {"image.registry_hosts_dir", "registry-hosts-dir",
       TextOption{BERTH_FIELD(std::string, image.registry_hosts_dir), Check::kOptionalPath},
       "HOST/hosts.toml in it names mirrors and certificates, read for each pull; empty: none"},
      {"image.pull_parallel_layers", "",
       NumberOption{BERTH_FIELD(int64_t, image.pull_parallel_layers), 1, 32},
       "layers of one image that are fetched and unpacked at the same time"},
      {"image.pull_max_concurrent", "",
       NumberOption{BERTH_FIELD(int64_t, image.pull_max_concurrent), 1, 64},
       "images that are pulled at the same time; more wait for their turn"},
      {"image.pull_no_progress_timeout_seconds", "",
       DurationOption{BERTH_FIELD(absl::Duration, image.pull_no_progress_timeout), absl::Seconds(1),
                      1, 86400},
       "a transfer that brings no byte for so long has failed"},
  };
}

std::vector<Option> NetworkOptions() {
  return {
      {"network.conf_dir", "cni-conf-dir",
       TextOption{BERTH_FIELD(std::string, network.conf_dir), Check::kAbsolutePath},
       "CNI configuration: the first file, by name, that is good; looked at again when it changes"},
      {"network.bin_dirs", "cni-bin-dirs", TextOption{BERTH_FIELD(std::string, network.bin_dirs)},
       "where CNI plugins are looked for, directories with ':' between them"},
      {"network.netns_dir", "netns-dir",
       TextOption{BERTH_FIELD(std::string, network.netns_dir), Check::kAbsolutePath},
       "where the network namespaces of pods are pinned, as berth-<pod id>"},
      {"network.plugin_timeout_seconds", "cni-plugin-timeout",
       DurationOption{BERTH_FIELD(absl::Duration, network.plugin_timeout), absl::Seconds(1), 1,
                      3600},
       "a CNI plugin call that takes longer is killed and has failed"},
  };
}

std::vector<Option> ContainerLogOptions() {
  return {
      {"container_log.max_mib", "",
       NumberOption{BERTH_FIELD(int64_t, container_log.max_bytes), 0, 1 << 20, kMiB},
       "a container's log file at this size takes no more until it is rotated; 0: no limit"},
      {"container_log.rate_kib_per_second", "",
       NumberOption{BERTH_FIELD(int64_t, container_log.rate_bytes_per_second), 0, 1 << 20, kKiB},
       "what a container may log on average; the rest is dropped and counted; 0: no limit"},
      {"container_log.burst_kib", "",
       NumberOption{BERTH_FIELD(int64_t, container_log.burst_bytes), 64, 1 << 20, kKiB},
       "what it may log at once, with a rate"},
  };
}

std::vector<Option> RuntimeOptionTable() {
  return {
      {"runtime.cgroup_root", "cgroup-root",
       TextOption{BERTH_FIELD(std::string, runtime.cgroup_root), Check::kAbsolutePath},
       "the cgroup, below each hierarchy's root, that shims and pods without a cgroup_parent live "
       "in"},
      {"runtime.shim_path", "shim",
       TextOption{BERTH_FIELD(std::string, runtime.shim_path), Check::kAbsolutePath},
       "the berth-shim program"},
      {"runtime.default_handler", "",
       TextOption{BERTH_FIELD(std::string, runtime.default_handler), Check::kWord},
       "the runtime handler that an empty name means"},
      {"runtime.shm_mib", "",
       NumberOption{BERTH_FIELD(int64_t, runtime.shm_bytes), 1, 1 << 20, kMiB},
       "size of a pod's /dev/shm"},
      {"runtime.volatile_overlays", "", SwitchOption{BERTH_FIELD(bool, runtime.volatile_overlays)},
       "do not flush a container's writable layer when it is unmounted; a host crash loses it"},
      {"runtime.create_timeout_seconds", "",
       DurationOption{BERTH_FIELD(absl::Duration, runtime.create_timeout), absl::Seconds(1), 1,
                      3600},
       "a container whose set-up takes longer is undone"},
      {"runtime.kill_timeout_seconds", "",
       DurationOption{BERTH_FIELD(absl::Duration, runtime.kill_timeout), absl::Seconds(1), 1, 3600},
       "how long after SIGKILL a container's cgroup may take to empty"},
      {"runtime.oom_score_adj", "",
       NumberOption{BERTH_FIELD(int64_t, runtime.oom_score_adj), -1000, 1000},
       "of the daemon itself; clamped, with a log line, to what the host allows"},
  };
}
#undef BERTH_FIELD

std::string NumberText(int64_t min, int64_t max) {
  return absl::StrCat("a whole number from ", min, " to ", max);
}

// What the value must be, for error messages.
struct Wanted {
  std::string operator()(const TextOption& o) const {
    switch (o.check) {
      case Check::kAny:
        return "a string";
      case Check::kAbsolutePath:
        return "an absolute path";
      case Check::kOptionalPath:
        return "an absolute path, or empty";
      case Check::kWord:
        return "a string of letters, digits, '.', '_' and '-'";
    }
    return "a string";
  }
  std::string operator()(const NumberOption& o) const { return NumberText(o.min, o.max); }
  std::string operator()(const DurationOption& o) const { return NumberText(o.min, o.max); }
  std::string operator()(const SwitchOption&) const { return "true or false"; }
  std::string operator()(const ChoiceOption& o) const {
    return absl::StrCat("one of \"", absl::StrJoin(o.choices, "\", \""), "\"");
  }
};

absl::Status Refuse(const Option& option) {
  return absl::InvalidArgumentError(absl::StrCat("must be ", std::visit(Wanted{}, option.kind)));
}

// Control bytes in a path would end up in logs and mount tables.
bool IsPrintable(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
}

bool IsCleanPath(absl::string_view path) {
  if (path.empty() || path[0] != '/' || !IsPrintable(path)) return false;
  if (path.size() > 1 && path.back() == '/') return false;
  return !absl::StrContains(absl::StrCat(path, "/"), "/../") &&
         !absl::StrContains(absl::StrCat(path, "/"), "/./") && !absl::StrContains(path, "//");
}

bool TextFits(Check check, absl::string_view value) {
  switch (check) {
    case Check::kAny:
      return IsPrintable(value);
    case Check::kAbsolutePath:
      return IsCleanPath(value);
    case Check::kOptionalPath:
      return value.empty() || IsCleanPath(value);
    case Check::kWord:
      return std::all_of(value.begin(), value.end(), [](unsigned char c) {
        return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
      });
  }
  return false;
}

std::string QuoteToml(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return absl::StrCat(out, "\"");
}

}  // namespace

const std::vector<Option>& Options() {
  static const auto* options = [] {
    auto* all = new std::vector<Option>;
    for (std::vector<Option> part :
         {PathOptions(), ServerOptions(), ImageOptions(), NetworkOptions(), RuntimeOptionTable(),
          ContainerLogOptions()}) {
      all->insert(all->end(), part.begin(), part.end());
    }
#if BERTH_FAILPOINTS
    all->push_back({"failpoints", "failpoints",
                    TextOption{[](Config& c) -> std::string& { return c.failpoints; }},
                    "places where a test makes the daemon fail, wait or die (test builds only)"});
#endif
    return all;
  }();
  return *options;
}

const Option* FindKey(absl::string_view key) {
  for (const Option& option : Options()) {
    if (option.key == key) return &option;
  }
  return nullptr;
}

const Option* FindFlag(absl::string_view flag) {
  for (const Option& option : Options()) {
    if (!option.flag.empty() && option.flag == flag) return &option;
  }
  return nullptr;
}

absl::Status SetText(const Option& option, absl::string_view value, Config* config) {
  if (const auto* text = std::get_if<TextOption>(&option.kind)) {
    if (!TextFits(text->check, value)) return Refuse(option);
    text->field(*config) = std::string(value);
    return absl::OkStatus();
  }
  if (const auto* choice = std::get_if<ChoiceOption>(&option.kind)) {
    const auto it = std::find(choice->choices.begin(), choice->choices.end(), value);
    if (it == choice->choices.end()) return Refuse(option);
    choice->set(*config, static_cast<size_t>(it - choice->choices.begin()));
    return absl::OkStatus();
  }
  return Refuse(option);
}

absl::Status SetNumber(const Option& option, int64_t value, Config* config) {
  if (const auto* number = std::get_if<NumberOption>(&option.kind)) {
    if (value < number->min || value > number->max) return Refuse(option);
    number->field(*config) = value * number->unit;
    return absl::OkStatus();
  }
  if (const auto* time = std::get_if<DurationOption>(&option.kind)) {
    if (value < time->min || value > time->max) return Refuse(option);
    time->field(*config) = time->unit * value;
    return absl::OkStatus();
  }
  return Refuse(option);
}

absl::Status SetSwitch(const Option& option, bool value, Config* config) {
  const auto* kind = std::get_if<SwitchOption>(&option.kind);
  if (kind == nullptr) return Refuse(option);
  kind->field(*config) = value;
  return absl::OkStatus();
}

absl::Status SetFromFlag(const Option& option, absl::string_view text, Config* config) {
  if (std::holds_alternative<TextOption>(option.kind) ||
      std::holds_alternative<ChoiceOption>(option.kind)) {
    return SetText(option, text, config);
  }
  if (std::holds_alternative<SwitchOption>(option.kind)) {
    if (text != "true" && text != "false") return Refuse(option);
    return SetSwitch(option, text == "true", config);
  }
  int64_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) return Refuse(option);
  return SetNumber(option, number, config);
}

std::string ValueText(const Option& option, const Config& config) {
  Config copy = config;  // the accessors give out mutable references
  if (const auto* text = std::get_if<TextOption>(&option.kind)) return QuoteToml(text->field(copy));
  if (const auto* number = std::get_if<NumberOption>(&option.kind)) {
    return absl::StrCat(number->field(copy) / number->unit);
  }
  if (const auto* time = std::get_if<DurationOption>(&option.kind)) {
    return absl::StrCat(time->field(copy) / time->unit);
  }
  if (const auto* flag = std::get_if<SwitchOption>(&option.kind)) {
    return flag->field(copy) ? "true" : "false";
  }
  const auto& choice = std::get<ChoiceOption>(option.kind);
  return QuoteToml(choice.choices[choice.get(config)]);
}

}  // namespace berth::server
