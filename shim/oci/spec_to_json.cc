// Writing a Spec. JSON text is UTF-8 but arguments and environment are bytes: an element of
// process.args or process.env that is not valid UTF-8 is written with each byte as the code point
// of the same number (Latin-1), and its place is named in the annotation "dev.berth.latin1"
// ("args:0 env:3"), which ParseSpec undoes and takes out again. Nothing is lost, and valid UTF-8
// reads in the file as what it is.
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "shim/oci/json_reader.h"
#include "shim/oci/spec.h"

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
  return out;
}

template <typename T>
void Put(Json* object, const char* section, const char* key, const std::optional<T>& value) {
  if (value.has_value()) (*object)[section][key] = *value;
}

Json ResourcesToJson(const os::CgroupLimits& limits) {
  Json out = Json::object();
  Put(&out, "cpu", "shares", limits.cpu_shares);
  Put(&out, "cpu", "quota", limits.cpu_quota_us);
  Put(&out, "cpu", "period", limits.cpu_period_us);
  if (!limits.cpuset_cpus.empty()) out["cpu"]["cpus"] = limits.cpuset_cpus;
  if (!limits.cpuset_mems.empty()) out["cpu"]["mems"] = limits.cpuset_mems;
  Put(&out, "memory", "limit", limits.memory_bytes);
  Put(&out, "memory", "swap", limits.memory_swap_bytes);
  Put(&out, "pids", "limit", limits.pids_max);
  for (const auto& [size, limit] : limits.hugepage_bytes) {
    out["hugepageLimits"].push_back({{"pageSize", size}, {"limit", limit}});
  }
  if (!limits.unified.empty()) out["unified"] = limits.unified;
  for (const os::CgroupLimits::DeviceRule& rule : limits.devices) {
    Json item = {
        {"allow", rule.allow}, {"type", std::string(1, rule.type)}, {"access", rule.access}};
    if (rule.major.has_value()) item["major"] = *rule.major;
    if (rule.minor.has_value()) item["minor"] = *rule.minor;
    out["devices"].push_back(std::move(item));
  }
  return out;
}

void PutMappings(const os::UserMappings& mappings, Json* out) {
  for (const auto& [key, list] :
       {std::pair("uidMappings", &mappings.uids), std::pair("gidMappings", &mappings.gids)}) {
    for (const os::IdMapping& m : *list) {
      (*out)[key].push_back(
          {{"containerID", m.container_id}, {"hostID", m.host_id}, {"size", m.length}});
    }
  }
}

Json LinuxToJson(const Linux& in) {
  Json out = {{"resources", ResourcesToJson(in.resources)},
              {"maskedPaths", in.masked_paths},
              {"readonlyPaths", in.readonly_paths}};
  for (const Namespace& ns : in.namespaces) {
    Json item = {{"type", NamespaceName(static_cast<int>(ns.type))}};
    if (!ns.path.empty()) item["path"] = ns.path;
    out["namespaces"].push_back(std::move(item));
  }
  PutMappings(in.mappings, &out);
  for (const Device& device : in.devices) {
    out["devices"].push_back({{"path", device.path},
                              {"type", std::string(1, device.type)},
                              {"major", device.major},
                              {"minor", device.minor},
                              {"fileMode", device.file_mode},
                              {"uid", device.uid},
                              {"gid", device.gid}});
  }
  if (!in.cgroups_path.empty()) out["cgroupsPath"] = in.cgroups_path;
  if (!in.sysctl.empty()) out["sysctl"] = in.sysctl;
  if (!in.rootfs_propagation.empty()) out["rootfsPropagation"] = in.rootfs_propagation;
  return out;
}

}  // namespace

Json SpecToJson(const Spec& spec) {
  std::string latin1;
  Json out = {{"ociVersion", spec.oci_version},
              {"process", ProcessToJson(spec.process, &latin1)},
              {"root", {{"path", spec.root_path}, {"readonly", spec.root_readonly}}},
              {"linux", LinuxToJson(spec.linux_)}};
  if (!spec.hostname.empty()) out["hostname"] = spec.hostname;
  for (const Mount& mount : spec.mounts) {
    Json item = {{"destination", mount.destination},
                 {"type", mount.type},
                 {"source", mount.source},
                 {"options", mount.options}};
    PutMappings(mount.mappings, &item);
    out["mounts"].push_back(std::move(item));
  }
  if (!spec.annotations.empty()) out["annotations"] = spec.annotations;
  if (!latin1.empty()) out["annotations"][kLatin1Annotation] = latin1;
  return out;
}

std::string ToJson(const Spec& spec) { return Dump(SpecToJson(spec)); }

}  // namespace berth::shim::oci
