// WWW-Authenticate, parsed (RFC 9110, 11.6.1), and the credentials of a CRI AuthConfig.
// Thread-safe: pure functions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image_worker.pb.h"

namespace berth::registry {

struct Challenge {
  std::string scheme;                             // lower case: "bearer", "basic"
  std::map<std::string, std::string> parameters;  // names in lower case
};

// One header may hold several challenges. What does not parse is left out.
std::vector<Challenge> ParseChallenges(absl::string_view header);

struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;
  std::string registry_token;
  bool empty() const {
    return username.empty() && identity_token.empty() && registry_token.empty();
  }
};

// InvalidArgument when `auth` is not base64 of "user:password". Empty credentials when
// server_address names another registry than `registry`. No secret is in a message.
absl::StatusOr<Credentials> CredentialsFor(const worker::Auth& auth, const std::string& registry);

}  // namespace berth::registry
