// How a Client answers a 401: Basic, or a token that the challenge's realm gives (distribution's
// token and OAuth2 specifications).
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "image/registry/client.h"

namespace berth::registry {
namespace {

constexpr size_t kMaxTokenBytes = 1 << 20;

std::string Basic(const Credentials& c) {
  return absl::StrCat("Basic ", absl::Base64Escape(absl::StrCat(c.username, ":", c.password)));
}

std::string Parameter(const Challenge& challenge, const std::string& name) {
  const auto it = challenge.parameters.find(name);
  return it == challenge.parameters.end() ? "" : it->second;
}

// Nesting is bounded before anything is parsed: the parser recurses.
bool IsFlat(absl::string_view text) {
  int depth = 0;
  int deepest = 0;
  for (const char c : text) {
    depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
    deepest = std::max(deepest, depth);
  }
  return deepest <= 16;
}

absl::StatusOr<std::string> TokenIn(const std::string& text) {
  const absl::Status bad = absl::UnauthenticatedError("the token endpoint gave no token");
  if (!IsFlat(text)) return bad;
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return bad;
  for (const char* key : {"token", "access_token"}) {
    const auto it = json.find(key);
    if (it == json.end() || !it->is_string()) continue;
    const std::string token = it->get<std::string>();
    if (!token.empty() && token.find_first_of("\r\n \t") == std::string::npos) return token;
  }
  return bad;
}

}  // namespace

absl::StatusOr<std::string> Client::Authorize(const Host& host, const HttpResponse& refusal) {
  std::vector<Challenge> challenges;
  for (const std::string& header : refusal.challenges) {
    for (Challenge& challenge : ParseChallenges(header)) challenges.push_back(std::move(challenge));
  }
  std::string authorization;
  for (const Challenge& challenge : challenges) {
    if (challenge.scheme != "bearer" || Parameter(challenge, "realm").empty()) continue;
    ASSIGN_OR_RETURN(const std::string token, FetchToken(host, challenge));
    authorization = absl::StrCat("Bearer ", token);
    break;
  }
  for (const Challenge& challenge : challenges) {
    if (!authorization.empty() || challenge.scheme != "basic") continue;
    if (!host.own || session_->credentials.username.empty()) {
      return absl::UnauthenticatedError(
          "HTTP status 401: a user name and a password are wanted, and none were given");
    }
    authorization = Basic(session_->credentials);
  }
  if (authorization.empty()) {
    return absl::UnauthenticatedError(
        "HTTP status 401 with no challenge that can be answered (neither Basic nor Bearer with a "
        "realm)");
  }
  MutexLock lock(&session_->mu);
  session_->authorization[host.base] = authorization;
  return authorization;
}

absl::StatusOr<std::string> Client::FetchToken(const Host& host, const Challenge& challenge) {
  const std::string realm = Parameter(challenge, "realm");
  const absl::StatusOr<Origin> origin = OriginOf(realm);
  const absl::StatusOr<Origin> home = OriginOf(host.base);
  if (!origin.ok() || !home.ok() || (home->scheme == "https" && origin->scheme != "https")) {
    return absl::UnauthenticatedError("the challenge's realm is no https URL");
  }
  std::string scope = Parameter(challenge, "scope");
  if (scope.empty()) scope = absl::StrCat("repository:", session_->repository, ":pull");
  const Credentials none;
  const Credentials& c = host.own ? session_->credentials : none;
  HttpRequest request;
  request.max_body = kMaxTokenBytes;
  request.connect_timeout = host.dial_timeout.value_or(session_->connect_timeout);
  request.no_progress_timeout = session_->no_progress_timeout;
  if (*origin == *home) request.tls = &host.tls;
  const std::string query = absl::StrCat("service=", UrlEscape(Parameter(challenge, "service")),
                                         "&scope=", UrlEscape(scope));
  if (!c.identity_token.empty()) {
    request.url = realm;
    request.form = absl::StrCat("grant_type=refresh_token&client_id=berth&", query,
                                "&refresh_token=", UrlEscape(c.identity_token));
  } else {
    request.url = absl::StrCat(realm, absl::StrContains(realm, '?') ? "&" : "?", query);
    if (!c.username.empty()) request.headers.emplace_back("Authorization", Basic(c));
  }
  const HttpOutcome http = transport_.Perform(request);
  const std::string where = absl::StrCat("get a token from ", WithoutQuery(realm));
  if (http.failure != HttpFailure::kNone) return Annotate(http.status, where);
  const long status = http.response.status;
  if (status != 200) {
    const bool later = status == 429 || status >= 500;
    return absl::Status(later           ? absl::StatusCode::kUnavailable
                        : status == 403 ? absl::StatusCode::kPermissionDenied
                                        : absl::StatusCode::kUnauthenticated,
                        absl::StrCat(where, ": HTTP status ", status));
  }
  ASSIGN_OR_RETURN_CTX(std::string token, TokenIn(http.response.body), where);
  return token;
}

}  // namespace berth::registry
