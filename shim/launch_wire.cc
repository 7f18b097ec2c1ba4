#include "shim/launch_wire.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "shim/oci/json_reader.h"

namespace berth::shim {
namespace {

using Json = nlohmann::json;

constexpr int kDocumentVersion = 2;

void ReadRoot(const oci::JsonReader& in, OverlayRoot* out) {
  in.Require("lowers", &out->lowers);
  if (out->lowers.empty()) in.Fail("lowers", "must not be empty");
  in.Require("upper", &out->upper);
  in.Require("work", &out->work);
  in.Read("volatile", &out->is_volatile);
}

// Absent, as in documents of before, it is no limit.
void ReadLogLimits(const oci::JsonReader& in, LogLimits* out) {
  in.ReadInt("fileBytes", &out->file_bytes);
  in.ReadInt("rateBytes", &out->rate_bytes);
  in.ReadInt("burstBytes", &out->burst_bytes);
}

void ReadSeccomp(const oci::JsonReader& in, SeccompFilter* out) {
  in.ReadInt("flags", &out->flags);
  in.Read("listenerPath", &out->listener_path);
  in.Read("listenerMetadata", &out->listener_metadata);
}

void ReadFds(const oci::JsonReader& in, LaunchDocument* out) {
  in.Each("cgroupV1", [&](const oci::JsonReader& item) {
    auto& [controllers, fd] = out->cgroup_v1.emplace_back("", -1);
    item.Require("controllers", &controllers);
    item.ReadInt("fd", &fd);
  });
  in.Read("cgroupV2", &out->cgroup_v2);
  in.Each("mountTrees", [&](const oci::JsonReader& item) {
    auto& [index, fd] = out->mount_trees.emplace_back(-1, -1);
    item.ReadInt("mount", &index);
    item.ReadInt("fd", &fd);
    if (index < 0 || static_cast<size_t>(index) >= out->spec.mounts.size()) {
      item.Fail("mount", absl::StrCat("no such mount: ", index));
    }
  });
  in.Each("namespaces", [&](const oci::JsonReader& item) {
    std::string name;
    int fd = -1;
    item.Require("type", &name);
    item.ReadInt("fd", &fd);
    const std::optional<int> type = oci::NamespaceNumber(name);
    if (!type.has_value()) return item.Fail("type", absl::StrCat("unknown: ", name));
    out->namespaces.emplace_back(static_cast<oci::NamespaceType>(*type), fd);
  });
}

}  // namespace

std::string ToJson(const LaunchDocument& document) {
  Json out = {{"version", kDocumentVersion},
              {"containerId", document.container_id},
              {"bundle", document.bundle},
              {"bootId", document.boot_id},
              {"oomScoreAdj", document.oom_score_adj},
              {"keepStdinOpen", document.keep_stdin_open},
              {"cgroupV2", document.cgroup_v2},
              {"logLimits",
               {{"fileBytes", document.log_limits.file_bytes},
                {"rateBytes", document.log_limits.rate_bytes},
                {"burstBytes", document.log_limits.burst_bytes}}},
              {"spec", oci::SpecToJson(document.spec)},
              {"root",
               {{"lowers", document.root.lowers},
                {"upper", document.root.upper},
                {"work", document.root.work},
                {"volatile", document.root.is_volatile}}}};
  if (document.seccomp.flags != 0) {
    out["seccomp"] = {{"flags", document.seccomp.flags},
                      {"listenerPath", document.seccomp.listener_path},
                      {"listenerMetadata", document.seccomp.listener_metadata}};
  }
  for (const auto& [controllers, fd] : document.cgroup_v1) {
    out["cgroupV1"].push_back({{"controllers", controllers}, {"fd", fd}});
  }
  for (const auto& [index, fd] : document.mount_trees) {
    out["mountTrees"].push_back({{"mount", index}, {"fd", fd}});
  }
  for (const auto& [type, fd] : document.namespaces) {
    out["namespaces"].push_back({{"type", oci::NamespaceName(static_cast<int>(type))}, {"fd", fd}});
  }
  return oci::Dump(out);
}

absl::StatusOr<LaunchDocument> ParseLaunchDocument(absl::string_view json) {
  ASSIGN_OR_RETURN_CTX(const Json value, oci::ParseJsonObject(json), "launch document");
  LaunchDocument document;
  absl::Status error;
  const oci::JsonReader in(&value, "", &error);
  int version = 0;
  in.ReadInt("version", &version);
  if (version != kDocumentVersion) in.Fail("version", absl::StrCat("unknown: ", version));
  in.Require("containerId", &document.container_id);
  in.Read("bundle", &document.bundle);
  in.Require("bootId", &document.boot_id);
  in.ReadInt("oomScoreAdj", &document.oom_score_adj);
  in.Read("keepStdinOpen", &document.keep_stdin_open);
  const auto spec = value.find("spec");
  if (spec == value.end()) in.Fail("spec", "is required");
  if (!error.ok()) return Annotate(error, "launch document");
  ASSIGN_OR_RETURN(document.spec, oci::SpecFromJson(*spec));
  ReadRoot(in.Object("root"), &document.root);
  ReadLogLimits(in.Object("logLimits"), &document.log_limits);
  ReadSeccomp(in.Object("seccomp"), &document.seccomp);
  ReadFds(in, &document);
  if (!error.ok()) return Annotate(error, "launch document");
  return document;
}

}  // namespace berth::shim
