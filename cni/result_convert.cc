#include "cni/result_convert.h"

#include <nlohmann/json.hpp>

#include "cni/version.h"

namespace berth::cni {
namespace {

using Json = nlohmann::ordered_json;

bool IsSix(const Json& address) {
  return address.is_string() &&
         address.get_ref<const std::string&>().find(':') != std::string::npos;
}

// {"ip4": {"ip", "gateway", "routes"}, "ip6": ...} -> {"ips": [...], "routes": [...]}
void ToLists(Json* result) {
  Json ips = Json::array();
  Json routes = Json::array();
  for (const char* family : {"ip4", "ip6"}) {
    const auto it = result->find(family);
    if (it == result->end() || !it->is_object()) continue;
    Json ip = Json::object();
    if (it->contains("ip")) ip["address"] = (*it)["ip"];
    if (it->contains("gateway")) ip["gateway"] = (*it)["gateway"];
    ips.push_back(std::move(ip));
    if (!it->contains("routes")) continue;
    for (const Json& route : (*it)["routes"]) routes.push_back(route);
  }
  result->erase("ip4");
  result->erase("ip6");
  (*result)["ips"] = std::move(ips);
  if (!routes.empty()) (*result)["routes"] = std::move(routes);
}

// The other way: the first address of each family, and the routes of that family.
void ToFamilies(Json* result) {
  const Json ips = result->value("ips", Json::array());
  const Json routes = result->value("routes", Json::array());
  for (const bool six : {false, true}) {
    for (const Json& ip : ips) {
      if (!ip.contains("address") || IsSix(ip["address"]) != six) continue;
      Json family = {{"ip", ip["address"]}};
      if (ip.contains("gateway")) family["gateway"] = ip["gateway"];
      for (const Json& route : routes) {
        if (route.contains("dst") && IsSix(route["dst"]) == six) family["routes"].push_back(route);
      }
      (*result)[six ? "ip6" : "ip4"] = std::move(family);
      break;
    }
  }
  for (const char* key : {"ips", "routes", "interfaces"}) result->erase(key);
}

// 0.3.0 to 0.4.0 name the family of each address, later versions do not.
void SetFamilies(Json* result, bool wanted) {
  const auto ips = result->find("ips");
  if (ips == result->end() || !ips->is_array()) return;
  for (Json& ip : *ips) {
    ip.erase("version");
    if (wanted) ip["version"] = IsSix(ip.value("address", Json())) ? "6" : "4";
  }
}

}  // namespace

std::string ConvertResult(absl::string_view result, absl::string_view from, absl::string_view to) {
  Json json = Json::parse(result.begin(), result.end(), nullptr, /*allow_exceptions=*/false);
  json["cniVersion"] = std::string(to);
  const bool had_lists = AtLeast(from, "0.3.0");
  const bool has_lists = AtLeast(to, "0.3.0");
  if (!had_lists && has_lists) ToLists(&json);
  if (had_lists && !has_lists) ToFamilies(&json);
  if (has_lists) SetFamilies(&json, !AtLeast(to, "1.0.0"));
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace berth::cni
