#include "cni/conf_list.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cni/json_text.h"

namespace berth::cni {
namespace {

using Json = nlohmann::ordered_json;

// What a configuration without a version is (specification 0.1.0 knew no such key).
constexpr absl::string_view kFirstVersion = "0.1.0";

absl::Status Bad(absl::string_view field, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", why));
}

const Json* Find(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

absl::StatusOr<std::string> Text(const Json& value, absl::string_view field) {
  if (!value.is_string()) return Bad(field, "not a string");
  std::string text = value.get<std::string>();
  if (text.find('\0') != std::string::npos) return Bad(field, "has a NUL byte");
  return text;
}

std::string Dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<Json> ParseObject(absl::string_view text) {
  RETURN_IF_ERROR(CheckJson(text));
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::InvalidArgumentError("not a JSON object");
  return json;
}

// Names travel in paths of plugins' state.
absl::StatusOr<std::string> ReadName(const Json& list) {
  const Json* value = Find(list, "name");
  if (value == nullptr) return Bad("name", "missing");
  ASSIGN_OR_RETURN(std::string name, Text(*value, "name"));
  const bool good = !name.empty() && absl::ascii_isalnum(static_cast<unsigned char>(name[0])) &&
                    std::all_of(name.begin(), name.end(), [](unsigned char c) {
                      return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
                    });
  if (!good) {
    return Bad("name", "must begin with a letter or digit and have only those, '_', '.' and '-'");
  }
  return name;
}

absl::StatusOr<std::vector<std::string>> ReadVersions(const Json& list) {
  std::vector<std::string> versions;
  if (const Json* value = Find(list, "cniVersion"); value != nullptr) {
    ASSIGN_OR_RETURN(std::string version, Text(*value, "cniVersion"));
    if (!version.empty()) versions.push_back(std::move(version));
  }
  if (const Json* value = Find(list, "cniVersions"); value != nullptr) {
    if (!value->is_array()) return Bad("cniVersions", "not a list");
    for (size_t i = 0; i < value->size(); ++i) {
      ASSIGN_OR_RETURN(std::string version,
                       Text((*value)[i], absl::StrCat("cniVersions[", i, "]")));
      versions.push_back(std::move(version));
    }
  }
  if (versions.empty()) versions.emplace_back(kFirstVersion);
  return versions;
}

// A name in one of the plugin directories and nowhere else (CVE-2021-20206).
absl::StatusOr<std::string> ReadType(const Json& plugin, const std::string& where) {
  const std::string field = absl::StrCat(where, "type");
  const Json* value = Find(plugin, "type");
  if (value == nullptr) {
    if (where.empty() && plugin.contains("plugins")) {
      return Bad("type", "missing: a list of plugins belongs in a file *.conflist");
    }
    return Bad(field, "missing");
  }
  ASSIGN_OR_RETURN(std::string type, Text(*value, field));
  if (type.empty() || type == "." || type == ".." || type.find('/') != std::string::npos) {
    return Bad(field, "must be the name of a program, without a path");
  }
  return type;
}

absl::StatusOr<PluginConf> ReadPlugin(Json plugin, const std::string& where) {
  PluginConf conf;
  ASSIGN_OR_RETURN(conf.type, ReadType(plugin, where));
  if (const Json* declared = Find(plugin, "capabilities"); declared != nullptr) {
    const std::string field = absl::StrCat(where, "capabilities");
    if (!declared->is_object()) return Bad(field, "not an object");
    for (const auto& [name, on] : declared->items()) {
      if (!on.is_boolean()) return Bad(absl::StrCat(field, ".", name), "not true or false");
      if (on.get<bool>()) conf.capabilities.insert(name);
    }
  }
  for (const char* key : {"cniVersion", "name", "capabilities", "runtimeConfig", "prevResult"}) {
    plugin.erase(key);
  }
  conf.json = Dump(plugin);
  return conf;
}

// The list's own keys that we do not use are checked too: a typing error should not wait for the
// runtime that uses them.
absl::Status CheckFlag(const Json& list, const char* key) {
  const Json* value = Find(list, key);
  if (value == nullptr || value->is_boolean()) return absl::OkStatus();
  if (value->is_string()) {  // as the specification wrote it before 1.0
    const std::string text = absl::AsciiStrToLower(value->get<std::string>());
    if (text == "true" || text == "false") return absl::OkStatus();
  }
  return Bad(key, "not true or false");
}

}  // namespace

absl::StatusOr<ConfList> ParseConfList(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseObject(text));
  ConfList list;
  ASSIGN_OR_RETURN(list.name, ReadName(json));
  ASSIGN_OR_RETURN(list.versions, ReadVersions(json));
  for (const char* key : {"disableCheck", "disableGC", "loadOnlyInlinedPlugins"}) {
    RETURN_IF_ERROR(CheckFlag(json, key));
  }
  const Json* plugins = Find(json, "plugins");
  if (plugins == nullptr) return Bad("plugins", "missing");
  if (!plugins->is_array() || plugins->empty()) return Bad("plugins", "not a list of plugins");
  for (size_t i = 0; i < plugins->size(); ++i) {
    const std::string where = absl::StrCat("plugins[", i, "]");
    if (!(*plugins)[i].is_object()) return Bad(where, "not an object");
    ASSIGN_OR_RETURN(PluginConf plugin, ReadPlugin((*plugins)[i], absl::StrCat(where, ".")));
    list.plugins.push_back(std::move(plugin));
  }
  list.bytes = std::string(text);
  return list;
}

absl::StatusOr<ConfList> ParseConf(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseObject(text));
  ConfList list;
  ASSIGN_OR_RETURN(list.name, ReadName(json));
  ASSIGN_OR_RETURN(list.versions, ReadVersions(json));
  ASSIGN_OR_RETURN(PluginConf plugin, ReadPlugin(json, ""));
  list.plugins.push_back(std::move(plugin));
  Json wrapped = Json::object();
  for (const char* key : {"cniVersion", "cniVersions", "name"}) {
    if (const Json* value = Find(json, key); value != nullptr) wrapped[key] = *value;
  }
  wrapped["plugins"] = Json::array({json});
  list.bytes = Dump(wrapped);
  return list;
}

}  // namespace berth::cni
