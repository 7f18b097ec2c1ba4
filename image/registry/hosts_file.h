// Where to ask for a registry's images: hosts.toml as containerd made it common, and what holds
// without one. Everything that it names (CA, client certificates) is read here, so that the process
// can close itself in afterwards. Thread-safe: pure functions.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "image/registry/http.h"

namespace berth::registry {

struct Host {
  std::string base;  // "https://mirror:5000/v2", without a slash at its end
  bool pull = true;
  bool resolve = true;
  bool own = false;  // the registry itself: it gets its credentials, the others do not
  std::vector<std::pair<std::string, std::string>> headers;
  Tls tls;
  std::optional<absl::Duration> dial_timeout;
};

// The mirrors in their order in <hosts_dir>/<registry>/hosts.toml (else _default's), then the
// registry. InvalidArgument with file and line when it is not TOML or a value cannot be; keys that
// are not known are left alone, as files are shared with other runtimes. FailedPrecondition when a
// certificate that it names cannot be read.
absl::StatusOr<std::vector<Host>> LoadHosts(const std::string& hosts_dir,
                                            const std::string& registry);

// The same from a text; `directory` is what relative file names are relative to.
absl::StatusOr<std::vector<Host>> ParseHosts(const std::string& text, const std::string& directory,
                                             const std::string& registry);

// Without any hosts.toml: HTTPS, or plain HTTP on the loopback interface.
Host DefaultHost(const std::string& registry);

}  // namespace berth::registry
