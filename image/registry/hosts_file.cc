#include "image/registry/hosts_file.h"

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <errno.h>
#include <toml++/toml.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::registry {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;

std::string HostPart(absl::string_view authority) {
  const size_t bracket = authority.find(']');
  const size_t colon = authority.find(':', bracket == absl::string_view::npos ? 0 : bracket);
  return std::string(authority.substr(0, colon));
}

class Reader {
 public:
  Reader(std::string directory, std::string registry)
      : directory_(std::move(directory)), registry_(std::move(registry)) {}

  absl::StatusOr<std::vector<Host>> Read(const toml::table& table) {
    std::vector<Host> hosts;
    if (const toml::node* node = table.get("host"); node != nullptr) {
      if (!node->is_table()) return Bad(*node, "host is not a table");
      // The parser sorts by name; the order in the file is the order to ask in.
      std::vector<std::pair<std::string, const toml::node*>> entries;
      for (const auto& [key, value] : *node->as_table()) {
        entries.emplace_back(std::string(key.str()), &value);
      }
      std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
        return a.second->source().begin.line < b.second->source().begin.line;
      });
      for (const auto& [url, value] : entries) {
        if (!value->is_table()) return Bad(*value, "a host is not a table");
        ASSIGN_OR_RETURN(Host host, ReadHost(url, *value->as_table(), *value));
        hosts.push_back(std::move(host));
      }
    }
    ASSIGN_OR_RETURN(Host own, ReadServer(table));
    hosts.push_back(std::move(own));
    return hosts;
  }

 private:
  absl::Status Bad(const toml::node& node, absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("read ", directory_, "/hosts.toml: line ",
                                                   node.source().begin.line, ": ", what));
  }

  absl::StatusOr<Host> ReadServer(const toml::table& table) {
    const toml::node* server = table.get("server");
    Host own = DefaultHost(registry_);
    if (server != nullptr && !server->is_string()) return Bad(*server, "server is not a string");
    if (server != nullptr && !server->as_string()->get().empty()) {
      ASSIGN_OR_RETURN(own, ReadHost(server->as_string()->get(), table, *server));
    } else {
      RETURN_IF_ERROR(ReadSettings(table, &own));
    }
    own.own = true;
    own.pull = own.resolve = true;
    return own;
  }

  absl::StatusOr<Host> ReadHost(std::string url, const toml::table& table,
                                const toml::node& where) {
    if (!absl::StrContains(url, "://")) {
      url = absl::StrCat(IsLoopback(HostPart(url.substr(0, url.find('/')))) ? "http" : "https",
                         "://", url);
    }
    absl::StatusOr<Origin> origin = OriginOf(url);
    if (!origin.ok()) {
      return Bad(where, absl::StrCat("\"", url, "\" is ", origin.status().message()));
    }
    Host host;
    host.base = std::string(absl::StripSuffix(url, "/"));
    bool override_path = false;
    RETURN_IF_ERROR(ReadBool(table, "override_path", &override_path));
    if (!override_path && !absl::EndsWith(host.base, "/v2")) host.base += "/v2";
    RETURN_IF_ERROR(ReadSettings(table, &host));
    return host;
  }

  absl::Status ReadSettings(const toml::table& table, Host* host) {
    RETURN_IF_ERROR(ReadBool(table, "skip_verify", &host->tls.skip_verify));
    RETURN_IF_ERROR(ReadCapabilities(table, host));
    RETURN_IF_ERROR(ReadHeaders(table, host));
    RETURN_IF_ERROR(ReadCertificates(table, host));
    const toml::node* timeout = table.get("dial_timeout");
    if (timeout == nullptr) return absl::OkStatus();
    absl::Duration duration;
    if (!timeout->is_string() ||
        !absl::ParseDuration(std::string(timeout->as_string()->get()), &duration) ||
        duration <= absl::ZeroDuration()) {
      return Bad(*timeout, "dial_timeout is not a duration (\"10s\")");
    }
    host->dial_timeout = duration;
    return absl::OkStatus();
  }

  absl::Status ReadBool(const toml::table& table, const char* key, bool* value) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return absl::OkStatus();
    if (!node->is_boolean()) return Bad(*node, absl::StrCat(key, " is neither true nor false"));
    *value = node->as_boolean()->get();
    return absl::OkStatus();
  }

  // A string, or an array of strings.
  absl::StatusOr<std::vector<std::string>> Strings(const toml::node& node, absl::string_view key) {
    std::vector<std::string> list;
    if (const auto* one = node.as_string(); one != nullptr) list.push_back(one->get());
    if (node.is_string()) return list;
    if (!node.is_array()) return Bad(node, absl::StrCat(key, " is neither string nor array"));
    for (const toml::node& item : *node.as_array()) {
      if (!item.is_string()) return Bad(item, absl::StrCat("an item of ", key, " is no string"));
      list.push_back(item.as_string()->get());
    }
    return list;
  }

  absl::Status ReadCapabilities(const toml::table& table, Host* host) {
    const toml::node* node = table.get("capabilities");
    if (node == nullptr) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::vector<std::string> names, Strings(*node, "capabilities"));
    host->pull = std::count(names.begin(), names.end(), "pull") > 0;
    host->resolve = std::count(names.begin(), names.end(), "resolve") > 0;
    return absl::OkStatus();
  }

  absl::Status ReadHeaders(const toml::table& table, Host* host) {
    const toml::node* node = table.get("header");
    if (node == nullptr) return absl::OkStatus();
    if (!node->is_table()) return Bad(*node, "header is not a table");
    for (const auto& [key, value] : *node->as_table()) {
      const std::string name(key.str());
      ASSIGN_OR_RETURN(const std::vector<std::string> values, Strings(value, "header"));
      for (const std::string& text : values) {
        if ((name + text).find_first_of("\r\n") != std::string::npos) {
          return Bad(value, "a header with a line break");
        }
        host->headers.emplace_back(name, text);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadCertificate(const std::string& name) {
    const std::string path = absl::StartsWith(name, "/") ? name : directory_ + "/" + name;
    absl::StatusOr<std::string> text = os::ReadFile(path, kMaxFileBytes);
    if (!text.ok()) {
      return WithCode(absl::StatusCode::kFailedPrecondition, text.status(),
                      absl::StrCat("read ", directory_, "/hosts.toml"));
    }
    return text;
  }

  absl::Status ReadCertificates(const toml::table& table, Host* host) {
    if (const toml::node* node = table.get("ca"); node != nullptr) {
      ASSIGN_OR_RETURN(const std::vector<std::string> names, Strings(*node, "ca"));
      for (const std::string& name : names) {
        ASSIGN_OR_RETURN(const std::string text, ReadCertificate(name));
        absl::StrAppend(&host->tls.ca, text, "\n");
      }
    }
    const toml::node* node = table.get("client");
    if (node == nullptr) return absl::OkStatus();
    // "both.pem", ["both.pem"] or [["a.cert", "a.key"]]: the first is used.
    if (const auto* outer = node->as_array();
        outer != nullptr && !outer->empty() && outer->get(0)->is_array()) {
      node = outer->get(0);
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> names, Strings(*node, "client"));
    if (names.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(host->tls.certificate, ReadCertificate(names[0]));
    if (names.size() == 2) {
      ASSIGN_OR_RETURN(host->tls.key, ReadCertificate(names[1]));
    }
    return absl::OkStatus();
  }

  const std::string directory_;
  const std::string registry_;
};

// "localhost_5000_" is how containerd spells a port where a colon cannot be.
std::vector<std::string> DirectoriesFor(const std::string& registry) {
  std::vector<std::string> names;
  const std::string host = HostPart(registry);
  if (host.size() < registry.size()) {
    names.push_back(absl::StrCat(host, "_", registry.substr(host.size() + 1), "_"));
  }
  names.push_back(registry);
  names.push_back("_default");
  return names;
}

}  // namespace

Host DefaultHost(const std::string& registry) {
  Host host;
  const std::string authority = registry == "docker.io" ? "registry-1.docker.io" : registry;
  const bool plain = IsLoopback(HostPart(authority)) && !absl::EndsWith(authority, ":443");
  host.base = absl::StrCat(plain ? "http" : "https", "://", authority, "/v2");
  host.own = true;
  return host;
}

absl::StatusOr<std::vector<Host>> ParseHosts(const std::string& text, const std::string& directory,
                                             const std::string& registry) {
  const toml::parse_result parsed = toml::parse(text, directory + "/hosts.toml");
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return absl::InvalidArgumentError(absl::StrCat("read ", directory, "/hosts.toml: line ",
                                                   error.source().begin.line, ": ",
                                                   std::string(error.description())));
  }
  return Reader(directory, registry).Read(parsed.table());
}

absl::StatusOr<std::vector<Host>> LoadHosts(const std::string& hosts_dir,
                                            const std::string& registry) {
  if (!hosts_dir.empty()) {
    for (const std::string& name : DirectoriesFor(registry)) {
      const std::string directory = absl::StrCat(hosts_dir, "/", name);
      absl::StatusOr<std::string> text = os::ReadFile(directory + "/hosts.toml", kMaxFileBytes);
      if (os::IsErrno(text.status(), ENOENT) || os::IsErrno(text.status(), ENOTDIR)) continue;
      if (!text.ok()) {
        return WithCode(absl::StatusCode::kFailedPrecondition, text.status(),
                        "read the registry's hosts");
      }
      return ParseHosts(*text, directory, registry);
    }
  }
  return std::vector<Host>{DefaultHost(registry)};
}

}  // namespace berth::registry
