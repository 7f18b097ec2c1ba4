// One HTTP exchange at a time over libcurl, with the bounds that a hostile server makes necessary.
// Redirects are not followed here: who carries credentials decides that (registry/client.h).
// Not thread-safe: one thread, one Transport; it keeps its connections.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace berth::registry {

// What to present and to believe, all in memory: the process reads no file any more when it uses
// it.
struct Tls {
  std::string ca;           // PEM, "" = the system's bundle
  std::string certificate;  // PEM
  std::string key;          // PEM
  bool skip_verify = false;
};

struct HttpRequest {
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<std::string> form;  // then it is a POST of application/x-www-form-urlencoded
  const Tls* tls = nullptr;
  absl::Duration connect_timeout = absl::Seconds(30);
  absl::Duration no_progress_timeout = absl::Seconds(60);
  size_t max_body = 64 << 10;  // of HttpResponse::body
  // Takes the bodies of 200 and 206 instead, once on_head (see Perform) accepted their heads.
  std::function<absl::Status(absl::string_view)> sink;
};

struct HttpResponse {
  long status = 0;
  std::string content_type;
  std::string content_range;
  std::string content_digest;  // Docker-Content-Digest
  std::string location;
  std::string retry_after;
  std::vector<std::string> challenges;  // WWW-Authenticate, one each
  std::optional<uint64_t> content_length;
  std::string body;
};

// How an exchange ended that gave no whole response.
enum class HttpFailure {
  kNone,
  kRefused,  // no connection, no name, no TLS: asking again at once is in vain
  kBroken,   // reset, cut off
  kStalled,  // no byte, or too few, for too long
  kSink,     // the sink's own error, or a body beyond its bound
  kStopped,
};

struct HttpOutcome {
  HttpFailure failure = HttpFailure::kNone;
  absl::Status status;  // of a failure; names no URL
  HttpResponse response;
};

// Once, before there are threads and before the process is confined.
absl::Status InitHttp();

class Transport {
 public:
  // Called with the head of a 200 or 206 before its body is taken; an error ends the exchange.
  using OnHead = std::function<absl::Status(const HttpResponse&)>;

  explicit Transport(const std::atomic<bool>* stop);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  HttpOutcome Perform(const HttpRequest& request, const OnHead& on_head = nullptr);

 private:
  void* const curl_;
  const std::atomic<bool>* const stop_;
};

// Parts of an absolute http or https URL, and what a Location means seen from one.
struct Origin {
  std::string scheme;
  std::string host;
  std::string port;
  bool operator==(const Origin&) const = default;
};
absl::StatusOr<Origin> OriginOf(const std::string& url);
absl::StatusOr<std::string> ResolveUrl(const std::string& base, const std::string& location);
// For messages: without query and user information, which may be secrets.
std::string WithoutQuery(const std::string& url);
std::string UrlEscape(absl::string_view text);
// localhost, 127.0.0.0/8, ::1.
bool IsLoopback(absl::string_view host);

}  // namespace berth::registry
