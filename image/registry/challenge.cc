#include "image/registry/challenge.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace berth::registry {
namespace {

bool IsTokenChar(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         absl::StrContains("!#$%&'*+-.^_`|~", c);
}

class Cursor {
 public:
  explicit Cursor(absl::string_view text) : rest_(text) {}
  bool done() const { return rest_.empty(); }

  void SkipSpace(absl::string_view also = "") {
    while (!rest_.empty() && (absl::ascii_isspace(static_cast<unsigned char>(rest_[0])) ||
                              absl::StrContains(also, rest_[0]))) {
      rest_.remove_prefix(1);
    }
  }
  std::string Token() {
    size_t n = 0;
    while (n < rest_.size() && IsTokenChar(rest_[n])) ++n;
    const absl::string_view token = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return absl::AsciiStrToLower(token);
  }
  bool Take(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void Drop() { rest_.remove_prefix(1); }
  // A token or a quoted string.
  std::string Value() {
    std::string value;
    if (!Take('"')) {
      while (!rest_.empty() && rest_[0] != ',' && rest_[0] != ' ') {
        value += rest_[0];
        rest_.remove_prefix(1);
      }
      return value;
    }
    while (!rest_.empty() && !Take('"')) {
      if (rest_[0] == '\\' && rest_.size() > 1) rest_.remove_prefix(1);
      value += rest_[0];
      rest_.remove_prefix(1);
    }
    return value;
  }

 private:
  absl::string_view rest_;
};

// "https://index.docker.io/v1/" -> "docker.io": what people and old tools write for one registry.
std::string NormalHost(absl::string_view address) {
  if (!absl::ConsumePrefix(&address, "https://")) (void)absl::ConsumePrefix(&address, "http://");
  const std::string host = absl::AsciiStrToLower(address.substr(0, address.find('/')));
  return host == "index.docker.io" || host == "registry-1.docker.io" ? "docker.io" : host;
}

}  // namespace

std::vector<Challenge> ParseChallenges(absl::string_view header) {
  std::vector<Challenge> challenges;
  Cursor cursor(header);
  for (cursor.SkipSpace(","); !cursor.done(); cursor.SkipSpace(",")) {
    const std::string word = cursor.Token();
    if (word.empty()) {
      cursor.Drop();
      continue;
    }
    cursor.SkipSpace();
    if (!cursor.Take('=')) {
      challenges.push_back({word, {}});
      continue;
    }
    cursor.SkipSpace();
    const std::string value = cursor.Value();
    if (!challenges.empty()) challenges.back().parameters.emplace(word, value);
  }
  return challenges;
}

absl::StatusOr<Credentials> CredentialsFor(const worker::Auth& auth, const std::string& registry) {
  Credentials credentials;
  if (!auth.server_address().empty() && NormalHost(auth.server_address()) != NormalHost(registry)) {
    return credentials;
  }
  credentials.username = auth.username();
  credentials.password = auth.password();
  credentials.identity_token = auth.identity_token();
  credentials.registry_token = auth.registry_token();
  if (credentials.username.empty() && !auth.auth().empty()) {
    std::string plain;
    const bool decoded = absl::Base64Unescape(auth.auth(), &plain);
    const size_t colon = plain.find(':');
    if (!decoded || colon == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(
          "read the credentials for ", registry, ": auth is not the base64 form of user:password"));
    }
    credentials.username = plain.substr(0, colon);
    credentials.password = plain.substr(colon + 1);
    // Docker's own files fill it up with NUL bytes.
    credentials.password.erase(credentials.password.find_last_not_of('\0') + 1);
  }
  return credentials;
}

}  // namespace berth::registry
