#include "shim/oci/spec.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/process.h"
#include "base/status_macros.h"
#include "shim/oci/spec_parts.h"

namespace berth::shim::oci {
namespace {

constexpr std::array<const char*, 8> kNamespaceNames = {"pid", "network", "mount",  "ipc",
                                                        "uts", "user",    "cgroup", "time"};

// semver.org 2.0.0: MAJOR.MINOR.PATCH, then "-pre.release" and "+build".
bool IsSemanticVersion(absl::string_view version) {
  constexpr absl::string_view kDigits = "0123456789";
  version = version.substr(0, version.find('+'));
  const size_t dash = version.find('-');
  if (dash == version.size() - 1) return false;
  const std::vector<absl::string_view> numbers = absl::StrSplit(version.substr(0, dash), '.');
  if (numbers.size() != 3) return false;
  for (absl::string_view number : numbers) {
    if (number.empty() || number.find_first_not_of(kDigits) != absl::string_view::npos ||
        (number.size() > 1 && number[0] == '0')) {
      return false;
    }
  }
  return true;
}

void ReadVersion(const JsonReader& in, std::string* out) {
  in.Require("ociVersion", out);
  if (!IsSemanticVersion(*out)) {
    in.Fail("ociVersion", absl::StrCat("is no semantic version: \"", *out, "\""));
  }
  if (!absl::StartsWith(*out, "1.")) {
    in.Fail("ociVersion", absl::StrCat("not a version 1: ", *out));
  }
}

void ReadMount(const JsonReader& in, Mount* out) {
  ReadMappings(in, &out->mappings);
  in.Require("destination", &out->destination);
  if (out->destination.empty()) in.Fail("destination", "must not be empty");
  // Deprecated, and to be read so.
  if (!absl::StartsWith(out->destination, "/")) {
    out->destination = absl::StrCat("/", out->destination);
  }
  in.Read("type", &out->type);
  in.Read("source", &out->source);
  in.Read("options", &out->options);
}

void ReadHookList(const JsonReader& in, const char* kind, std::vector<Hook>* out) {
  in.Each(kind, [&](const JsonReader& item) {
    Hook& hook = out->emplace_back();
    item.Require("path", &hook.path);
    if (!absl::StartsWith(hook.path, "/")) item.Fail("path", "must be an absolute path");
    item.Read("args", &hook.args);
    item.Read("env", &hook.env);
    item.ReadInt("timeout", &hook.timeout_seconds);
    if (hook.timeout_seconds.value_or(1) <= 0) item.Fail("timeout", "must be greater than zero");
  });
}

void ReadHooks(const JsonReader& in, Hooks* out) {
  ReadHookList(in, "prestart", &out->prestart);
  ReadHookList(in, "createRuntime", &out->create_runtime);
  ReadHookList(in, "createContainer", &out->create_container);
  ReadHookList(in, "startContainer", &out->start_container);
  ReadHookList(in, "poststart", &out->poststart);
  ReadHookList(in, "poststop", &out->poststop);
}

void ReadName(const JsonReader& in, const char* key, std::string* out) {
  constexpr size_t kLongest = 64;  // sethostname(2)
  in.Read(key, out);
  if (out->size() > kLongest) in.Fail(key, absl::StrCat("is longer than ", kLongest, " bytes"));
}

// Undoes what SpecToJson did: code points U+0000 to U+00FF back to one byte each.
bool FromLatin1(absl::string_view text, std::string* bytes) {
  bytes->clear();
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      bytes->push_back(static_cast<char>(c));
    } else if ((c == 0xC2 || c == 0xC3) && i + 1 < text.size()) {
      const auto low = static_cast<unsigned char>(text[++i]);
      bytes->push_back(static_cast<char>(((c & 0x03) << 6) | (low & 0x3F)));
    } else {
      return false;
    }
  }
  return true;
}

absl::Status DecodeLatin1(Spec* spec) {
  const auto annotation = spec->annotations.find(kLatin1Annotation);
  if (annotation == spec->annotations.end()) return absl::OkStatus();
  for (absl::string_view place : absl::StrSplit(annotation->second, ' ', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(place, ':');
    std::vector<std::string>* list = parts.first == "env"    ? &spec->process.env
                                     : parts.first == "args" ? &spec->process.args
                                                             : nullptr;
    size_t index = 0;
    std::string bytes;
    if (list == nullptr || !absl::SimpleAtoi(parts.second, &index) || index >= list->size() ||
        !FromLatin1((*list)[index], &bytes)) {
      return absl::InvalidArgumentError(
          absl::StrCat("annotations[\"", kLatin1Annotation, "\"]: names no Latin-1 text: ", place));
    }
    (*list)[index] = std::move(bytes);
  }
  spec->annotations.erase(annotation);
  return absl::OkStatus();
}

}  // namespace

const char* NamespaceName(int type) { return kNamespaceNames.at(static_cast<size_t>(type)); }

std::optional<int> NamespaceNumber(absl::string_view name) {
  for (size_t i = 0; i < kNamespaceNames.size(); ++i) {
    if (name == kNamespaceNames[i]) return static_cast<int>(i);
  }
  return std::nullopt;
}

absl::StatusOr<Spec> SpecFromJson(const nlohmann::json& value) {
  Spec spec;
  absl::Status error;
  const JsonReader in(&value, "", &error);
  ReadVersion(in, &spec.oci_version);
  spec.has_process = in.Has("process");
  if (spec.has_process) ReadProcess(in.Object("process"), &spec.process);
  if (!in.Has("root")) in.Fail("root", "is required");
  const JsonReader root = in.Object("root");
  root.Require("path", &spec.root_path);
  root.Read("readonly", &spec.root_readonly);
  ReadName(in, "hostname", &spec.hostname);
  ReadName(in, "domainname", &spec.domainname);
  in.Each("mounts", [&](const JsonReader& item) { ReadMount(item, &spec.mounts.emplace_back()); });
  ReadHooks(in.Object("hooks"), &spec.hooks);
  in.Read("annotations", &spec.annotations);
  ReadLinux(in.Object("linux"), &spec.linux_);
  if (!error.ok()) return error;
  RETURN_IF_ERROR(DecodeLatin1(&spec));
  return spec;
}

absl::StatusOr<Spec> ParseSpec(absl::string_view json) {
  RETURN_IF_ERROR(CheckJson(json));
  ASSIGN_OR_RETURN(const nlohmann::json value, ParseJsonObject(json));
  return SpecFromJson(value);
}

absl::StatusOr<Process> ParseProcess(absl::string_view json) {
  RETURN_IF_ERROR(CheckJson(json));
  ASSIGN_OR_RETURN(const nlohmann::json value, ParseJsonObject(json));
  Process process;
  absl::Status error;
  ReadProcess(JsonReader(&value, "", &error), &process);
  if (!error.ok()) return error;
  return process;
}

std::vector<std::string> Warnings(const Spec& spec) {
  const Capabilities& sets = spec.process.capabilities;
  std::vector<std::string> warnings;
  for (const auto& [name, set] :
       {std::pair("bounding", &sets.bounding), std::pair("effective", &sets.effective),
        std::pair("inheritable", &sets.inheritable), std::pair("permitted", &sets.permitted),
        std::pair("ambient", &sets.ambient)}) {
    for (const std::string& capability : *set) {
      if (os::CapabilityNumber(capability).ok()) continue;
      warnings.push_back(
          absl::StrCat("process.capabilities.", name, ": ", capability, " is unknown: left out"));
    }
  }
  return warnings;
}

}  // namespace berth::shim::oci
