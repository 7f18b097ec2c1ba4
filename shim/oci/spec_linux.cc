// config-linux.md, but "Control groups".
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "shim/oci/spec_parts.h"

namespace berth::shim::oci {
namespace {

// makedev(3) of the kernel's dev_t.
constexpr int64_t kMaxMajor = (1 << 12) - 1;
constexpr int64_t kMaxMinor = (1 << 20) - 1;

void CheckAbsolute(const JsonReader& in, const char* key, const std::vector<std::string>& paths) {
  for (size_t i = 0; i < paths.size(); ++i) {
    if (!absl::StartsWith(paths[i], "/")) {
      in.Fail(absl::StrCat(key, "[", i, "]"), "must be an absolute path");
    }
  }
}

bool Overlap(uint32_t a, uint32_t b, uint32_t a_length, uint32_t b_length) {
  return a < b ? b - a < a_length : a - b < b_length;
}

void ReadMapping(const JsonReader& in, const char* key, std::vector<os::IdMapping>* out) {
  in.Each(key, [&](const JsonReader& item) {
    os::IdMapping mapping{};
    item.RequireInt("containerID", &mapping.container_id);
    item.RequireInt("hostID", &mapping.host_id);
    item.RequireInt("size", &mapping.length);
    if (mapping.length == 0) item.Fail("size", "must not be 0");
    for (const uint32_t first : {mapping.container_id, mapping.host_id}) {
      // 2^32-1 is no id.
      if (uint64_t{first} + mapping.length > UINT32_MAX)
        item.Fail("size", "reaches past the last id");
    }
    for (const os::IdMapping& other : *out) {
      const auto [ids, hosts, size] = other;
      if (Overlap(ids, mapping.container_id, size, mapping.length) ||
          Overlap(hosts, mapping.host_id, size, mapping.length)) {
        item.Fail("size", "overlaps another entry");
      }
    }
    out->push_back(mapping);
  });
}

void ReadNamespaces(const JsonReader& in, std::vector<Namespace>* out) {
  std::set<NamespaceType> seen;
  in.Each("namespaces", [&](const JsonReader& item) {
    std::string name;
    Namespace ns;
    item.Require("type", &name);
    const std::optional<int> type = NamespaceNumber(name);
    if (!type.has_value()) return item.Fail("type", absl::StrCat("unknown: ", name));
    ns.type = static_cast<NamespaceType>(*type);
    item.Read("path", &ns.path);
    if (!ns.path.empty() && !absl::StartsWith(ns.path, "/")) {
      item.Fail("path", "must be an absolute path");
    }
    if (!seen.insert(ns.type).second) item.Fail("type", absl::StrCat("appears twice: ", name));
    out->push_back(std::move(ns));
  });
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
  if (out->type != 'p') {
    in.RequireInt("major", &out->major);
    in.RequireInt("minor", &out->minor);
    if (out->major < 0 || out->major > kMaxMajor) in.Fail("major", "is no device number");
    if (out->minor < 0 || out->minor > kMaxMinor) in.Fail("minor", "is no device number");
  }
  in.ReadInt("fileMode", &out->file_mode);
  in.ReadInt("uid", &out->uid);
  in.ReadInt("gid", &out->gid);
}

void ReadTimeOffsets(const JsonReader& in, Linux* out) {
  in.Members("timeOffsets", [&](const std::string& clock, const JsonReader& member) {
    in.CheckKnown("timeOffsets", {clock}, {"monotonic", "boottime"});
    TimeOffset& offset = out->time_offsets[clock];
    member.ReadInt("secs", &offset.secs);
    member.ReadInt("nanosecs", &offset.nanosecs);
    if (offset.nanosecs >= 1'000'000'000) member.Fail("nanosecs", "is a second or more");
  });
  if (out->time_offsets.empty()) return;
  for (const Namespace& ns : out->namespaces) {
    if (ns.type == NamespaceType::kTime && ns.path.empty()) return;
  }
  in.Fail("timeOffsets", "needs a new time namespace");
}

void ReadPersonality(const JsonReader& in, Personality* out) {
  in.Require("domain", &out->domain);
  in.CheckKnown("domain", {out->domain}, {"LINUX", "LINUX32"});
  in.Read("flags", &out->flags);
  if (!out->flags.empty()) in.Fail("flags", "the specification knows none");
}

void ReadMemoryPolicy(const JsonReader& in, MemoryPolicy* out) {
  in.Require("mode", &out->mode);
  in.CheckKnown("mode", {out->mode},
                {"MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE",
                 "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL"});
  in.Read("flags", &out->flags);
  in.CheckKnown("flags", out->flags,
                {"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"});
  in.Read("nodes", &out->nodes);
  if (!out->nodes.empty() && !IsNumberList(out->nodes)) {
    in.Fail("nodes", absl::StrCat("is no list of memory nodes: \"", out->nodes, "\""));
  }
  // set_mempolicy(2).
  const bool none = out->mode == "MPOL_DEFAULT" || out->mode == "MPOL_LOCAL";
  if (none && !out->nodes.empty()) in.Fail("nodes", absl::StrCat(out->mode, " takes none"));
  if (!none && out->mode != "MPOL_PREFERRED" && out->nodes.empty()) {
    in.Fail("nodes", absl::StrCat(out->mode, " needs one at least"));
  }
}

void ReadIntelRdt(const JsonReader& in, IntelRdt* out) {
  in.Read("closID", &out->clos_id);
  // It names a directory below the root of resctrl; "/" is that root.
  if (out->clos_id == "." || out->clos_id == ".." ||
      (out->clos_id != "/" && absl::StrContains(out->clos_id, "/"))) {
    in.Fail("closID", absl::StrCat("is no name of a directory: ", out->clos_id));
  }
  in.Read("l3CacheSchema", &out->l3_cache_schema);
  in.Read("memBwSchema", &out->mem_bw_schema);
  if (!out->mem_bw_schema.empty() && !absl::StartsWith(out->mem_bw_schema, "MB:")) {
    in.Fail("memBwSchema", "must begin with MB:");
  }
  in.Read("schemata", &out->schemata);
  in.Read("enableMonitoring", &out->enable_monitoring);
  const auto check = [&](absl::string_view key, absl::string_view line) {
    if (absl::StrContains(line, "\n")) in.Fail(key, "contains a newline");
  };
  check("l3CacheSchema", out->l3_cache_schema);
  check("memBwSchema", out->mem_bw_schema);
  for (const std::string& line : out->schemata) check("schemata", line);
}

// dev_valid_name() of the kernel, IFNAMSIZ.
bool IsInterfaceName(absl::string_view name) {
  if (name.empty() || name.size() > 15 || name == "." || name == "..") return false;
  for (const char c : name) {
    if (c == '/' || c == ':' || absl::ascii_isspace(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

void ReadNetDevices(const JsonReader& in, std::map<std::string, std::string>* out) {
  std::set<std::string> targets;
  in.Members("netDevices", [&](const std::string& host, const JsonReader& member) {
    if (!IsInterfaceName(host)) in.Fail("netDevices", absl::StrCat("no interface name: ", host));
    std::string& name = (*out)[host];
    member.Read("name", &name);
    if (!name.empty() && !IsInterfaceName(name)) {
      member.Fail("name", absl::StrCat("no interface name: ", name));
    }
    const std::string& target = name.empty() ? host : name;
    if (!absl::StrContains(target, "%d") && !targets.insert(target).second) {
      member.Fail("name", absl::StrCat("appears twice: ", target));
    }
  });
}

}  // namespace

void ReadMappings(const JsonReader& in, os::UserMappings* out) {
  ReadMapping(in, "uidMappings", &out->uids);
  ReadMapping(in, "gidMappings", &out->gids);
  if (out->uids.empty() != out->gids.empty()) {
    in.Fail(out->uids.empty() ? "uidMappings" : "gidMappings", "is needed beside the other");
  }
}

void ReadLinux(const JsonReader& in, Linux* out) {
  ReadMappings(in, &out->mappings);
  ReadNamespaces(in, &out->namespaces);
  in.Each("devices",
          [&](const JsonReader& item) { ReadDevice(item, &out->devices.emplace_back()); });
  in.Read("cgroupsPath", &out->cgroups_path);
  ReadResources(in.Object("resources"), &out->resources);
  in.Read("sysctl", &out->sysctl);
  in.Read("maskedPaths", &out->masked_paths);
  in.Read("readonlyPaths", &out->readonly_paths);
  CheckAbsolute(in, "maskedPaths", out->masked_paths);
  CheckAbsolute(in, "readonlyPaths", out->readonly_paths);
  in.Read("rootfsPropagation", &out->rootfs_propagation);
  in.Read("mountLabel", &out->mount_label);
  ReadTimeOffsets(in, out);
  if (in.Has("personality")) {
    ReadPersonality(in.Object("personality"), &out->personality.emplace());
  }
  if (in.Has("memoryPolicy")) {
    ReadMemoryPolicy(in.Object("memoryPolicy"), &out->memory_policy.emplace());
  }
  if (in.Has("intelRdt")) ReadIntelRdt(in.Object("intelRdt"), &out->intel_rdt.emplace());
  ReadNetDevices(in, &out->net_devices);
  out->seccomp = in.ObjectText("seccomp");
}

}  // namespace berth::shim::oci
