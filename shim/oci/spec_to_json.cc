// Writing a Spec; bytes that are not UTF-8: see process_to_json.cc.
#include <nlohmann/json.hpp>
#include <utility>

#include "shim/oci/spec_parts.h"

namespace berth::shim::oci {
namespace {

using Json = nlohmann::json;

Json HooksToJson(const Hooks& hooks) {
  Json out = Json::object();
  for (const auto& [kind, list] :
       {std::pair("prestart", &hooks.prestart), std::pair("createRuntime", &hooks.create_runtime),
        std::pair("createContainer", &hooks.create_container),
        std::pair("startContainer", &hooks.start_container),
        std::pair("poststart", &hooks.poststart), std::pair("poststop", &hooks.poststop)}) {
    for (const Hook& hook : *list) {
      Json item = {{"path", hook.path}, {"args", hook.args}, {"env", hook.env}};
      if (hook.timeout_seconds.has_value()) item["timeout"] = *hook.timeout_seconds;
      out[kind].push_back(std::move(item));
    }
  }
  return out;
}

}  // namespace

Json SpecToJson(const Spec& spec) {
  std::string latin1;
  Json out = {{"ociVersion", spec.oci_version},
              {"root", {{"path", spec.root_path}, {"readonly", spec.root_readonly}}},
              {"linux", LinuxToJson(spec.linux_)}};
  if (spec.has_process) out["process"] = ProcessToJson(spec.process, &latin1);
  if (!spec.hostname.empty()) out["hostname"] = spec.hostname;
  if (!spec.domainname.empty()) out["domainname"] = spec.domainname;
  for (const Mount& mount : spec.mounts) {
    Json item = {{"destination", mount.destination},
                 {"type", mount.type},
                 {"source", mount.source},
                 {"options", mount.options}};
    PutMappings(mount.mappings, &item);
    out["mounts"].push_back(std::move(item));
  }
  if (Json hooks = HooksToJson(spec.hooks); !hooks.empty()) out["hooks"] = std::move(hooks);
  if (!spec.annotations.empty()) out["annotations"] = spec.annotations;
  if (!latin1.empty()) out["annotations"][kLatin1Annotation] = latin1;
  return out;
}

std::string ToJson(const Spec& spec) { return Dump(SpecToJson(spec)); }

}  // namespace berth::shim::oci
