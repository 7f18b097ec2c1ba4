#include "shim/oci/spec.h"

#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "shim/oci/json_reader.h"

namespace berth::shim::oci {
namespace {

constexpr std::array<const char*, 8> kNamespaceNames = {"pid", "network", "mount",  "ipc",
                                                        "uts", "user",    "cgroup", "time"};

void ReadCapabilities(const JsonReader& in, Capabilities* out) {
  in.Read("bounding", &out->bounding);
  in.Read("effective", &out->effective);
  in.Read("inheritable", &out->inheritable);
  in.Read("permitted", &out->permitted);
  in.Read("ambient", &out->ambient);
}

void ReadUser(const JsonReader& in, User* out) {
  in.ReadInt("uid", &out->uid);
  in.ReadInt("gid", &out->gid);
  in.ReadInt("umask", &out->umask);
  in.EachInt("additionalGids", [&](int64_t gid) {
    if (gid < 0 || gid > UINT32_MAX)
      return in.Fail("additionalGids", absl::StrCat("out of range: ", gid));
    out->additional_gids.push_back(static_cast<gid_t>(gid));
  });
}

void ReadProcess(const JsonReader& in, Process* out) {
  in.Refuse({"apparmorProfile", "selinuxLabel", "scheduler", "ioPriority", "execCPUAffinity"});
  in.Read("terminal", &out->terminal);
  ReadUser(in.Object("user"), &out->user);
  in.Require("args", &out->args);
  if (out->args.empty()) in.Fail("args", "must not be empty");
  in.Read("env", &out->env);
  in.Require("cwd", &out->cwd);
  if (!absl::StartsWith(out->cwd, "/")) in.Fail("cwd", "must be an absolute path");
  ReadCapabilities(in.Object("capabilities"), &out->capabilities);
  std::set<std::string> seen;
  in.Each("rlimits", [&](const JsonReader& item) {
    Rlimit limit;
    item.Require("type", &limit.type);
    item.ReadInt("hard", &limit.hard);
    item.ReadInt("soft", &limit.soft);
    if (!seen.insert(limit.type).second) item.Fail("type", "appears twice");
    if (limit.soft > limit.hard) item.Fail("soft", "is above the hard limit");
    out->rlimits.push_back(std::move(limit));
  });
  in.Read("noNewPrivileges", &out->no_new_privileges);
  in.ReadInt("oomScoreAdj", &out->oom_score_adj);
  if (out->oom_score_adj.has_value() &&
      (*out->oom_score_adj < -1000 || *out->oom_score_adj > 1000)) {
    in.Fail("oomScoreAdj", absl::StrCat("out of range: ", *out->oom_score_adj));
  }
}

void ReadMapping(const JsonReader& in, const char* key, std::vector<os::IdMapping>* out) {
  in.Each(key, [&](const JsonReader& item) {
    os::IdMapping& mapping = out->emplace_back();
    item.ReadInt("containerID", &mapping.container_id);
    item.ReadInt("hostID", &mapping.host_id);
    item.ReadInt("size", &mapping.length);
    if (mapping.length == 0) item.Fail("size", "must not be 0");
    for (const uint32_t first : {mapping.container_id, mapping.host_id}) {
      // 2^32-1 is no id.
      if (uint64_t{first} + mapping.length > UINT32_MAX)
        item.Fail("size", "reaches past the last id");
    }
  });
}

void ReadMappings(const JsonReader& in, os::UserMappings* out) {
  ReadMapping(in, "uidMappings", &out->uids);
  ReadMapping(in, "gidMappings", &out->gids);
  if (out->uids.empty() != out->gids.empty()) {
    in.Fail(out->uids.empty() ? "uidMappings" : "gidMappings", "is needed beside the other");
  }
}

void ReadMount(const JsonReader& in, Mount* out) {
  ReadMappings(in, &out->mappings);
  in.Require("destination", &out->destination);
  if (!absl::StartsWith(out->destination, "/")) in.Fail("destination", "must be an absolute path");
  in.Read("type", &out->type);
  in.Read("source", &out->source);
  in.Read("options", &out->options);
}

void ReadDeviceRule(const JsonReader& in, os::CgroupLimits::DeviceRule* out) {
  in.Read("allow", &out->allow);
  std::string type = "a";
  in.Read("type", &type);
  if (type != "a" && type != "b" && type != "c") in.Fail("type", "must be a, b or c");
  out->type = type.empty() ? 'a' : type[0];
  in.ReadInt("major", &out->major);
  in.ReadInt("minor", &out->minor);
  in.Read("access", &out->access);
}

void ReadResources(const JsonReader& in, os::CgroupLimits* out) {
  in.Refuse({"blockIO", "network", "rdma"});
  const JsonReader cpu = in.Object("cpu");
  cpu.Refuse({"realtimeRuntime", "realtimePeriod", "idle", "burst"});
  cpu.ReadInt("shares", &out->cpu_shares);
  cpu.ReadInt("quota", &out->cpu_quota_us);
  cpu.ReadInt("period", &out->cpu_period_us);
  cpu.Read("cpus", &out->cpuset_cpus);
  cpu.Read("mems", &out->cpuset_mems);
  const JsonReader memory = in.Object("memory");
  memory.Refuse({"reservation", "kernel", "kernelTCP", "swappiness", "disableOOMKiller",
                 "useHierarchy", "checkBeforeUpdate"});
  memory.ReadInt("limit", &out->memory_bytes);
  memory.ReadInt("swap", &out->memory_swap_bytes);
  in.Object("pids").ReadInt("limit", &out->pids_max);
  in.Each("hugepageLimits", [&](const JsonReader& item) {
    std::string size;
    uint64_t limit = 0;
    item.Require("pageSize", &size);
    item.ReadInt("limit", &limit);
    out->hugepage_bytes[size] = limit;
  });
  in.Read("unified", &out->unified);
  in.Each("devices",
          [&](const JsonReader& item) { ReadDeviceRule(item, &out->devices.emplace_back()); });
}

void ReadDevice(const JsonReader& in, Device* out) {
  in.Require("path", &out->path);
  if (!absl::StartsWith(out->path, "/")) in.Fail("path", "must be an absolute path");
  std::string type;
  in.Require("type", &type);
  if (type != "c" && type != "b" && type != "u" && type != "p") {
    return in.Fail("type", "must be c, b, u or p");
  }
  out->type = type[0];
  in.ReadInt("major", &out->major);
  in.ReadInt("minor", &out->minor);
  in.ReadInt("fileMode", &out->file_mode);
  in.ReadInt("uid", &out->uid);
  in.ReadInt("gid", &out->gid);
}

void ReadLinux(const JsonReader& in, Linux* out) {
  ReadMappings(in, &out->mappings);
  in.Refuse({"seccomp", "mountLabel", "intelRdt", "personality", "timeOffsets", "netDevices",
             "memoryPolicy"});
  std::set<NamespaceType> seen;
  in.Each("namespaces", [&](const JsonReader& item) {
    std::string name;
    Namespace ns;
    item.Require("type", &name);
    const std::optional<int> type = NamespaceNumber(name);
    if (!type.has_value()) return item.Fail("type", absl::StrCat("unknown: ", name));
    ns.type = static_cast<NamespaceType>(*type);
    item.Read("path", &ns.path);
    if (!seen.insert(ns.type).second) item.Fail("type", absl::StrCat("appears twice: ", name));
    out->namespaces.push_back(std::move(ns));
  });
  in.Each("devices",
          [&](const JsonReader& item) { ReadDevice(item, &out->devices.emplace_back()); });
  in.Read("cgroupsPath", &out->cgroups_path);
  ReadResources(in.Object("resources"), &out->resources);
  in.Read("sysctl", &out->sysctl);
  in.Read("maskedPaths", &out->masked_paths);
  in.Read("readonlyPaths", &out->readonly_paths);
  in.Read("rootfsPropagation", &out->rootfs_propagation);
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
  in.Refuse({"hooks", "domainname"});
  in.Require("ociVersion", &spec.oci_version);
  if (error.ok() && !absl::StartsWith(spec.oci_version, "1.")) {
    in.Fail("ociVersion", absl::StrCat("not a version 1: ", spec.oci_version));
  }
  if (!in.Has("process")) in.Fail("process", "is required");
  ReadProcess(in.Object("process"), &spec.process);
  const JsonReader root = in.Object("root");
  root.Read("path", &spec.root_path);
  root.Read("readonly", &spec.root_readonly);
  in.Read("hostname", &spec.hostname);
  in.Each("mounts", [&](const JsonReader& item) { ReadMount(item, &spec.mounts.emplace_back()); });
  in.Read("annotations", &spec.annotations);
  ReadLinux(in.Object("linux"), &spec.linux_);
  if (!error.ok()) return error;
  RETURN_IF_ERROR(DecodeLatin1(&spec));
  return spec;
}

absl::StatusOr<Spec> ParseSpec(absl::string_view json) {
  ASSIGN_OR_RETURN(const nlohmann::json value, ParseJsonObject(json));
  return SpecFromJson(value);
}

}  // namespace berth::shim::oci
