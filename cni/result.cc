#include "cni/result.h"

#include <arpa/inet.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "cni/json_text.h"
#include "cni/result_convert.h"
#include "cni/version.h"

namespace berth::cni {
namespace {

using nlohmann::json;

absl::Status Bad(absl::string_view field, absl::string_view why) {
  return absl::InternalError(absl::StrCat("result: ", field, ": ", why));
}

const json* Find(const json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

struct Address {
  std::string text;
  bool loopback = false;
};

// "10.1.0.5/16" -> "10.1.0.5".
absl::StatusOr<Address> ParseCidr(const json* value, const std::string& field) {
  if (value == nullptr) return Bad(field, "missing");
  if (!value->is_string()) return Bad(field, "not a string");
  const std::string cidr = value->get<std::string>();
  const absl::Status bad = Bad(
      field, absl::StrCat("\"", Excerpt(cidr, 64), "\" is not an address with a prefix length"));
  const size_t slash = cidr.find('/');
  int prefix = 0;
  if (slash == std::string::npos || !absl::SimpleAtoi(cidr.substr(slash + 1), &prefix)) return bad;
  const std::string ip = cidr.substr(0, slash);
  if (ip.find('\0') != std::string::npos) return bad;
  unsigned char bytes[16];
  const bool six = ip.find(':') != std::string::npos;
  const int family = six ? AF_INET6 : AF_INET;
  if (inet_pton(family, ip.c_str(), bytes) != 1 || prefix < 0 || prefix > (six ? 128 : 32)) {
    return bad;
  }
  char text[INET6_ADDRSTRLEN];
  if (inet_ntop(family, bytes, text, sizeof text) == nullptr) return bad;
  return Address{text, six ? absl::string_view(text) == "::1" : bytes[0] == 127};
}

// True for an address on the host's end of the connection.
absl::StatusOr<bool> IsHostSide(const json& result, const json& ip, const std::string& field) {
  const json* index = Find(ip, "interface");
  if (index == nullptr) return false;
  const json* interfaces = Find(result, "interfaces");
  const size_t count = interfaces == nullptr ? 0 : interfaces->size();
  if (!index->is_number_integer()) return Bad(field + ".interface", "not an integer");
  const auto i = index->get<int64_t>();
  if (i < 0 || static_cast<uint64_t>(i) >= count) {
    return Bad(field + ".interface", absl::StrCat(i, " of ", count, " interfaces"));
  }
  const json* sandbox = Find((*interfaces)[static_cast<size_t>(i)], "sandbox");
  return sandbox == nullptr || (sandbox->is_string() && sandbox->get<std::string>().empty());
}

absl::Status CheckObjects(const json& result, const char* key) {
  const json* list = Find(result, key);
  if (list == nullptr) return absl::OkStatus();
  if (!list->is_array()) return Bad(key, "not a list");
  for (const json& entry : *list) {
    if (!entry.is_object()) return Bad(key, "has something that is not an object");
  }
  return absl::OkStatus();
}

void Keep(const Address& address, std::vector<std::string>* ips) {
  if (address.loopback || std::find(ips->begin(), ips->end(), address.text) != ips->end()) return;
  ips->push_back(address.text);
}

absl::Status ReadLists(const json& result, std::vector<std::string>* ips) {
  for (const char* key : {"interfaces", "ips", "routes"}) {
    RETURN_IF_ERROR(CheckObjects(result, key));
  }
  const json* list = Find(result, "ips");
  if (list == nullptr) return absl::OkStatus();
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string field = absl::StrCat("ips[", i, "]");
    ASSIGN_OR_RETURN(const Address address,
                     ParseCidr(Find((*list)[i], "address"), field + ".address"));
    ASSIGN_OR_RETURN(const bool host, IsHostSide(result, (*list)[i], field));
    if (!host) Keep(address, ips);
  }
  return absl::OkStatus();
}

absl::Status ReadFamilies(const json& result, std::vector<std::string>* ips) {
  for (const char* family : {"ip4", "ip6"}) {
    const json* value = Find(result, family);
    if (value == nullptr) continue;
    if (!value->is_object()) return Bad(family, "not an object");
    RETURN_IF_ERROR(CheckObjects(*value, "routes"));
    ASSIGN_OR_RETURN(const Address address,
                     ParseCidr(Find(*value, "ip"), absl::StrCat(family, ".ip")));
    Keep(address, ips);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Result> ParseResult(absl::string_view output, absl::string_view version) {
  output = absl::StripAsciiWhitespace(output);
  if (output.empty()) return absl::InternalError("printed no result");
  if (const absl::Status status = CheckJson(output); !status.ok()) {
    return absl::InternalError(
        absl::StrCat("printed no JSON but \"", Excerpt(output, 200), "\": ", status.message()));
  }
  const json result = json::parse(output.begin(), output.end(), nullptr, false);
  if (!result.is_object()) return absl::InternalError("result: not a JSON object");

  std::string own(version);
  if (const json* named = Find(result, "cniVersion"); named != nullptr) {
    if (!named->is_string()) return Bad("cniVersion", "not a string");
    if (!named->get<std::string>().empty()) own = named->get<std::string>();
  }
  if (VersionIndex(own) < 0) {
    return Bad("cniVersion", absl::StrCat("\"", Excerpt(own, 32), "\" is not a known version"));
  }
  Result parsed;
  RETURN_IF_ERROR(AtLeast(own, "0.3.0") ? ReadLists(result, &parsed.ips)
                                        : ReadFamilies(result, &parsed.ips));
  const bool as_asked = own == version && Find(result, "cniVersion") != nullptr;
  parsed.json = as_asked ? std::string(output) : ConvertResult(output, own, version);
  return parsed;
}

}  // namespace berth::cni
