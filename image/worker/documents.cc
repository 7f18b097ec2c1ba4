#include "image/worker/documents.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "image/worker/limits.h"

namespace berth::worker {
namespace {

using Json = nlohmann::json;

absl::Status Bad(absl::string_view field, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", why));
}

// Depth and number of values, before anything is allocated for them.
absl::Status CheckJsonBounds(absl::string_view text) {
  int depth = 0;
  size_t values = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if (c == '[' || c == '{' || c == ',') ++values;
    if (depth > kMaxJsonDepth) {
      return absl::InvalidArgumentError(absl::StrCat("JSON nested deeper than ", kMaxJsonDepth));
    }
  }
  if (values > kMaxJsonValues) {
    return absl::InvalidArgumentError(
        absl::StrCat("JSON with more than ", kMaxJsonValues, " values"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> Parse(absl::string_view text) {
  RETURN_IF_ERROR(CheckJsonBounds(text));
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::InvalidArgumentError("not JSON");
  return json;
}

absl::StatusOr<Json> ParseObject(absl::string_view text) {
  ASSIGN_OR_RETURN(Json json, Parse(text));
  if (!json.is_object()) return absl::InvalidArgumentError("not a JSON object");
  return json;
}

// nullptr when absent or null.
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

absl::StatusOr<std::string> TextField(const Json& object, const char* key) {
  const Json* value = Find(object, key);
  return value == nullptr ? std::string() : Text(*value, key);
}

absl::StatusOr<std::vector<std::string>> TextList(const Json& object, const char* key) {
  std::vector<std::string> list;
  const Json* value = Find(object, key);
  if (value == nullptr) return list;
  if (!value->is_array()) return Bad(key, "not an array");
  for (const Json& item : *value) {
    ASSIGN_OR_RETURN(std::string text, Text(item, key));
    list.push_back(std::move(text));
  }
  return list;
}

absl::StatusOr<Digest> ParseDigest(absl::string_view text, absl::string_view field) {
  if (!absl::StartsWith(text, "sha256:") && absl::StrContains(text, ':')) {
    return absl::UnimplementedError(
        absl::StrCat(field, ": digest \"", text.substr(0, 140), "\" is not sha256"));
  }
  absl::StatusOr<Digest> digest = Digest::Parse(text);
  if (!digest.ok()) return Bad(field, absl::StrCat("bad digest \"", text.substr(0, 140), "\""));
  return digest;
}

absl::StatusOr<Platform> ParsePlatform(const Json& json) {
  if (!json.is_object()) return Bad("platform", "not an object");
  Platform platform;
  ASSIGN_OR_RETURN(platform.os, TextField(json, "os"));
  ASSIGN_OR_RETURN(platform.architecture, TextField(json, "architecture"));
  ASSIGN_OR_RETURN(platform.variant, TextField(json, "variant"));
  return platform;
}

absl::StatusOr<Descriptor> ParseDescriptor(const Json& json, absl::string_view field) {
  if (!json.is_object()) return Bad(field, "not an object");
  ASSIGN_OR_RETURN(const std::string digest_text, TextField(json, "digest"));
  ASSIGN_OR_RETURN(Digest digest, ParseDigest(digest_text, absl::StrCat(field, ".digest")));
  ASSIGN_OR_RETURN(std::string media_type, TextField(json, "mediaType"));
  const Json* size = Find(json, "size");
  if (size == nullptr || !size->is_number_unsigned()) {
    return Bad(absl::StrCat(field, ".size"), "not a size");
  }
  Descriptor d{std::move(media_type), std::move(digest), size->get<uint64_t>()};
  if (const Json* platform = Find(json, "platform"); platform != nullptr) {
    ASSIGN_OR_RETURN(d.platform, ParsePlatform(*platform));
  }
  if (const Json* notes = Find(json, "annotations"); notes != nullptr) {
    if (!notes->is_object()) return Bad("annotations", "not an object");
    ASSIGN_OR_RETURN(d.image_name, TextField(*notes, "io.containerd.image.name"));
    ASSIGN_OR_RETURN(d.ref_name, TextField(*notes, "org.opencontainers.image.ref.name"));
  }
  return d;
}

// What header and body of a document must agree on.
absl::Status CheckKind(const Json& json, absl::string_view media_type, bool index) {
  const Json* version = Find(json, "schemaVersion");
  if (version == nullptr || !version->is_number_unsigned() || version->get<uint64_t>() != 2) {
    return Bad("schemaVersion", "not 2");
  }
  const bool has_manifests = json.contains("manifests");
  const bool has_layers = json.contains("layers") || json.contains("config");
  if (has_manifests && has_layers) {
    return Bad("manifests", "ambiguous document: it has layers or config too");
  }
  if (json.contains("fsLayers") || json.contains("history")) {
    return Bad("fsLayers", "ambiguous document: fields of a schema 1 manifest");
  }
  ASSIGN_OR_RETURN(const std::string inside, TextField(json, "mediaType"));
  if (!media_type.empty() && !inside.empty() && inside != media_type) {
    return Bad("mediaType",
               absl::StrCat("\"", inside, "\" inside, \"", media_type, "\" in its descriptor"));
  }
  if (!inside.empty() && (index ? !IsIndexType(inside) : !IsManifestType(inside))) {
    return Bad("mediaType",
               absl::StrCat("\"", inside, "\" is not ", index ? "an index" : "a manifest"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Descriptor>> DescriptorList(const Json& json, const char* key,
                                                       size_t limit) {
  std::vector<Descriptor> list;
  const auto value = json.find(key);
  if (value != json.end() && value->is_null()) return list;  // an empty slice, as Go writes it
  if (value == json.end() || !value->is_array()) return Bad(key, "not an array");
  if (value->size() > limit) {
    return Bad(key, absl::StrCat(value->size(), " descriptors, at most ", limit));
  }
  for (const Json& item : *value) {
    ASSIGN_OR_RETURN(Descriptor d, ParseDescriptor(item, key));
    list.push_back(std::move(d));
  }
  return list;
}

template <typename List>
void MoveInto(std::vector<std::string> from, List* to) {
  for (std::string& text : from) to->Add(std::move(text));
}

absl::Status ParseRunConfig(const Json& json, ImageConfig* config) {
  if (!json.is_object()) return Bad("config", "not an object");
  ASSIGN_OR_RETURN(std::vector<std::string> list, TextList(json, "Entrypoint"));
  MoveInto(std::move(list), config->mutable_entrypoint());
  ASSIGN_OR_RETURN(list, TextList(json, "Cmd"));
  MoveInto(std::move(list), config->mutable_cmd());
  ASSIGN_OR_RETURN(list, TextList(json, "Env"));
  MoveInto(std::move(list), config->mutable_env());
  ASSIGN_OR_RETURN(*config->mutable_user(), TextField(json, "User"));
  ASSIGN_OR_RETURN(*config->mutable_working_dir(), TextField(json, "WorkingDir"));
  ASSIGN_OR_RETURN(*config->mutable_stop_signal(), TextField(json, "StopSignal"));
  if (const Json* volumes = Find(json, "Volumes"); volumes != nullptr) {
    if (!volumes->is_object()) return Bad("Volumes", "not an object");
    for (const auto& item : volumes->items()) {
      ASSIGN_OR_RETURN(*config->add_volumes(), Text(Json(item.key()), "Volumes"));
    }
  }
  if (const Json* labels = Find(json, "Labels"); labels != nullptr) {
    if (!labels->is_object()) return Bad("Labels", "not an object");
    for (const auto& item : labels->items()) {
      ASSIGN_OR_RETURN((*config->mutable_labels())[item.key()], Text(item.value(), "Labels"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Digest>> ParseDiffIds(const Json& json) {
  const Json* rootfs = Find(json, "rootfs");
  if (rootfs == nullptr || !rootfs->is_object()) return Bad("rootfs", "absent");
  ASSIGN_OR_RETURN(const std::string type, TextField(*rootfs, "type"));
  if (type != "layers") return Bad("rootfs.type", absl::StrCat("\"", type, "\" is not \"layers\""));
  ASSIGN_OR_RETURN(const std::vector<std::string> list, TextList(*rootfs, "diff_ids"));
  if (list.size() > kMaxLayers) {
    return Bad("rootfs.diff_ids", absl::StrCat(list.size(), " layers, at most ", kMaxLayers));
  }
  std::vector<Digest> diff_ids;
  for (const std::string& text : list) {
    ASSIGN_OR_RETURN(Digest digest, ParseDigest(text, "rootfs.diff_ids"));
    diff_ids.push_back(std::move(digest));
  }
  return diff_ids;
}

}  // namespace

std::string PlatformName(const Platform& p) {
  return absl::StrCat(p.os, "/", p.architecture, p.variant.empty() ? "" : "/", p.variant);
}

bool IsIndexType(absl::string_view media_type) {
  return media_type == "application/vnd.oci.image.index.v1+json" ||
         media_type == "application/vnd.docker.distribution.manifest.list.v2+json";
}

bool IsManifestType(absl::string_view media_type) {
  return media_type == "application/vnd.oci.image.manifest.v1+json" ||
         media_type == "application/vnd.docker.distribution.manifest.v2+json";
}

absl::StatusOr<Index> ParseIndex(absl::string_view text, absl::string_view media_type) {
  ASSIGN_OR_RETURN(const Json json, ParseObject(text));
  RETURN_IF_ERROR(CheckKind(json, media_type, /*index=*/true));
  ASSIGN_OR_RETURN(std::vector<Descriptor> list, DescriptorList(json, "manifests", kMaxIndexWidth));
  return Index{std::move(list)};
}

absl::StatusOr<Manifest> ParseManifest(absl::string_view text, absl::string_view media_type) {
  ASSIGN_OR_RETURN(const Json json, ParseObject(text));
  RETURN_IF_ERROR(CheckKind(json, media_type, /*index=*/false));
  const Json* config = Find(json, "config");
  if (config == nullptr) return Bad("config", "absent");
  ASSIGN_OR_RETURN(Descriptor config_descriptor, ParseDescriptor(*config, "config"));
  ASSIGN_OR_RETURN(std::vector<Descriptor> layers, DescriptorList(json, "layers", kMaxLayers));
  return Manifest{std::move(config_descriptor), std::move(layers)};
}

absl::StatusOr<ConfigDocument> ParseConfig(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseObject(text));
  ConfigDocument document;
  ASSIGN_OR_RETURN(*document.config.mutable_architecture(), TextField(json, "architecture"));
  ASSIGN_OR_RETURN(*document.config.mutable_os(), TextField(json, "os"));
  ASSIGN_OR_RETURN(*document.config.mutable_variant(), TextField(json, "variant"));
  ASSIGN_OR_RETURN(document.diff_ids, ParseDiffIds(json));
  if (const Json* config = Find(json, "config"); config != nullptr) {
    RETURN_IF_ERROR(ParseRunConfig(*config, &document.config));
  }
  return document;
}

absl::StatusOr<std::vector<DockerImage>> ParseDockerManifest(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json, Parse(text));
  if (!json.is_array()) return absl::InvalidArgumentError("not a JSON array");
  if (json.size() > kMaxIndexWidth) {
    return absl::InvalidArgumentError(
        absl::StrCat(json.size(), " images, at most ", kMaxIndexWidth));
  }
  std::vector<DockerImage> images;
  for (const Json& item : json) {
    if (!item.is_object()) return absl::InvalidArgumentError("an image that is not an object");
    DockerImage image;
    ASSIGN_OR_RETURN(image.config, TextField(item, "Config"));
    ASSIGN_OR_RETURN(image.repo_tags, TextList(item, "RepoTags"));
    ASSIGN_OR_RETURN(image.layers, TextList(item, "Layers"));
    if (image.config.empty()) return Bad("Config", "absent");
    images.push_back(std::move(image));
  }
  return images;
}

absl::Status CheckLayoutVersion(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseObject(text));
  ASSIGN_OR_RETURN(const std::string version, TextField(json, "imageLayoutVersion"));
  if (!absl::StartsWith(version, "1.")) {
    return absl::UnimplementedError(
        absl::StrCat("imageLayoutVersion \"", version, "\" is not 1.x"));
  }
  return absl::OkStatus();
}

}  // namespace berth::worker
