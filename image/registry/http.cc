#include "image/registry/http.h"

#include <curl/curl.h>

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace berth::registry {
namespace {

constexpr size_t kMaxHeaderLine = 16 << 10;
constexpr size_t kMaxHeaders = 200;
// Below this a transfer only looks alive.
constexpr double kMinBytesPerSecond = 128;

// What one exchange's callbacks share.
struct Exchange {
  const HttpRequest* request = nullptr;
  const Transport::OnHead* on_head = nullptr;
  const std::atomic<bool>* stop = nullptr;
  CURL* curl = nullptr;
  HttpOutcome outcome;
  size_t headers = 0;
  bool body_began = false;
  absl::Time last_byte = absl::Now();
  absl::Time window = absl::Now();  // in which at least kMinBytesPerSecond must come
  uint64_t window_bytes = 0;

  bool GoesToSink() const {
    const long status = outcome.response.status;
    return request->sink != nullptr && (status == 200 || status == 206);
  }
  void Fail(HttpFailure failure, absl::Status status) {
    outcome.failure = failure;
    outcome.status = std::move(status);
  }
};

void TakeHeader(absl::string_view name, absl::string_view value, HttpResponse* r) {
  const std::string lower = absl::AsciiStrToLower(name);
  if (lower == "www-authenticate") r->challenges.emplace_back(value);
  if (lower == "content-type") r->content_type = std::string(value);
  if (lower == "content-range") r->content_range = std::string(value);
  if (lower == "docker-content-digest") r->content_digest = std::string(value);
  if (lower == "location") r->location = std::string(value);
  if (lower == "retry-after") r->retry_after = std::string(value);
  if (lower == "content-length") {
    uint64_t length = 0;
    if (absl::SimpleAtoi(value, &length)) r->content_length = length;
  }
}

size_t OnHeader(char* data, size_t /*one*/, size_t size, void* self) {
  auto* x = static_cast<Exchange*>(self);
  const absl::string_view line(data, size);
  x->last_byte = absl::Now();
  if (size > kMaxHeaderLine || ++x->headers > kMaxHeaders) {
    x->Fail(HttpFailure::kSink, absl::ResourceExhaustedError("the response's head is too large"));
    return 0;
  }
  if (absl::StartsWith(line, "HTTP/")) {  // a head begins; there may be one of a 100 before
    const HttpResponse empty;
    x->outcome.response = empty;
    return size;
  }
  const size_t colon = line.find(':');
  if (colon != absl::string_view::npos) {
    TakeHeader(line.substr(0, colon), absl::StripAsciiWhitespace(line.substr(colon + 1)),
               &x->outcome.response);
  }
  return size;
}

absl::Status TakeBody(Exchange* x, absl::string_view data) {
  if (!x->body_began) {
    x->body_began = true;
    (void)curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &x->outcome.response.status);
    if (x->GoesToSink() && *x->on_head) RETURN_IF_ERROR((*x->on_head)(x->outcome.response));
  }
  if (x->GoesToSink()) return x->request->sink(data);
  std::string& body = x->outcome.response.body;
  if (body.size() + data.size() > x->request->max_body) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the body has more than ", x->request->max_body, " bytes"));
  }
  body.append(data.data(), data.size());
  return absl::OkStatus();
}

size_t OnBody(char* data, size_t /*one*/, size_t size, void* self) {
  auto* x = static_cast<Exchange*>(self);
  const absl::Time began = absl::Now();
  if (absl::Status s = TakeBody(x, absl::string_view(data, size)); !s.ok()) {
    x->Fail(HttpFailure::kSink, std::move(s));
    return 0;
  }
  // The time that the sink took is not the server's.
  x->last_byte = absl::Now();
  x->window += x->last_byte - began;
  x->window_bytes += size;
  return size;
}

int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto* x = static_cast<Exchange*>(self);
  if (x->stop != nullptr && x->stop->load()) {
    x->Fail(HttpFailure::kStopped, absl::CancelledError("stopped"));
    return 1;
  }
  const absl::Time now = absl::Now();
  const absl::Duration patience = x->request->no_progress_timeout;
  bool stalled = now - x->last_byte > patience;
  if (now - x->window > patience) {
    stalled |= x->body_began && static_cast<double>(x->window_bytes) <
                                    kMinBytesPerSecond * absl::ToDoubleSeconds(now - x->window);
    x->window = now;
    x->window_bytes = 0;
  }
  if (!stalled) return 0;
  x->Fail(HttpFailure::kStalled,
          absl::UnavailableError(absl::StrCat("no progress for ", absl::FormatDuration(patience))));
  return 1;
}

curl_blob Blob(const std::string& text) {
  return {const_cast<char*>(text.data()), text.size(), CURL_BLOB_NOCOPY};
}

// Setting an option fails only without memory, which perform would meet as well.
template <typename T>
void Set(CURL* curl, CURLoption option, T value) {
  (void)curl_easy_setopt(curl, option, value);
}

void SetTls(CURL* curl, const Tls& tls) {
  if (!tls.ca.empty()) {
    curl_blob blob = Blob(tls.ca);
    Set(curl, CURLOPT_CAINFO_BLOB, &blob);
  }
  if (!tls.certificate.empty()) {
    curl_blob certificate = Blob(tls.certificate);
    curl_blob key = Blob(tls.key.empty() ? tls.certificate : tls.key);
    Set(curl, CURLOPT_SSLCERT_BLOB, &certificate);
    Set(curl, CURLOPT_SSLKEY_BLOB, &key);
  }
  if (tls.skip_verify) {
    Set(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    Set(curl, CURLOPT_SSL_VERIFYHOST, 0L);
  }
}

void SetUp(CURL* curl, const HttpRequest& request, Exchange* x, curl_slist* headers) {
  curl_easy_reset(curl);  // its connections stay
  Set(curl, CURLOPT_URL, request.url.c_str());
  Set(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  Set(curl, CURLOPT_PROXY, "");
  Set(curl, CURLOPT_NOSIGNAL, 1L);
  Set(curl, CURLOPT_USERAGENT, "berth/" BERTH_VERSION);
  Set(curl, CURLOPT_HTTPHEADER, headers);
  Set(curl, CURLOPT_CONNECTTIMEOUT_MS,
      static_cast<long>(absl::ToInt64Milliseconds(request.connect_timeout)));
  Set(curl, CURLOPT_HEADERFUNCTION, OnHeader);
  Set(curl, CURLOPT_HEADERDATA, x);
  Set(curl, CURLOPT_WRITEFUNCTION, OnBody);
  Set(curl, CURLOPT_WRITEDATA, x);
  Set(curl, CURLOPT_NOPROGRESS, 0L);
  Set(curl, CURLOPT_XFERINFOFUNCTION, OnProgress);
  Set(curl, CURLOPT_XFERINFODATA, x);
  Set(curl, CURLOPT_BUFFERSIZE, 128L << 10);
  Set(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  // A layer's stream is one of many windows' worth of buffer in HTTP/2; HTTP/1.1 has none.
  Set(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  if (request.form.has_value()) {
    Set(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.form->size()));
    Set(curl, CURLOPT_POSTFIELDS, request.form->c_str());
  }
  if (request.tls != nullptr) SetTls(curl, *request.tls);
}

HttpFailure FailureOf(CURLcode code, absl::string_view cause) {
  // A server that wants a client certificate says so after the handshake, and will again.
  if (absl::StrContains(cause, "alert") && absl::StrContains(cause, "certificate")) {
    return HttpFailure::kRefused;
  }
  switch (code) {
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
      return HttpFailure::kBroken;
    default:
      return HttpFailure::kRefused;
  }
}

absl::StatusOr<std::string> Part(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) {
    return absl::InvalidArgumentError("not an absolute URL");
  }
  std::string copy = text;
  curl_free(text);
  return copy;
}

using Url = std::unique_ptr<CURLU, void (*)(CURLU*)>;

absl::StatusOr<Url> ParseUrl(const std::string& text) {
  Url url(curl_url(), curl_url_cleanup);
  if (url == nullptr || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return absl::InvalidArgumentError("not a URL");
  }
  return url;
}

}  // namespace

absl::Status InitHttp() {
  return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK
             ? absl::OkStatus()
             : absl::InternalError("start the HTTP client: libcurl does not initialise");
}

Transport::Transport(const std::atomic<bool>* stop) : curl_(curl_easy_init()), stop_(stop) {
  if (curl_ == nullptr) abort();  // no memory
}

Transport::~Transport() { curl_easy_cleanup(curl_); }

HttpOutcome Transport::Perform(const HttpRequest& request, const OnHead& on_head) {
  Exchange x;
  x.request = &request;
  x.on_head = &on_head;
  x.stop = stop_;
  x.curl = curl_;
  std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(nullptr, curl_slist_free_all);
  for (const auto& [name, value] : request.headers) {
    curl_slist* longer = curl_slist_append(headers.get(), absl::StrCat(name, ": ", value).c_str());
    (void)headers.release();
    headers.reset(longer);
  }
  SetUp(curl_, request, &x, headers.get());
  char error[CURL_ERROR_SIZE] = "";
  Set(curl_, CURLOPT_ERRORBUFFER, error);
  const CURLcode code = curl_easy_perform(curl_);
  Set(curl_, CURLOPT_ERRORBUFFER, static_cast<char*>(nullptr));
  (void)curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &x.outcome.response.status);
  if (code == CURLE_OK && !x.body_began && x.GoesToSink() && on_head) {
    if (absl::Status s = on_head(x.outcome.response); !s.ok()) x.Fail(HttpFailure::kSink, s);
  }
  if (code != CURLE_OK && x.outcome.failure == HttpFailure::kNone) {
    // The certificate's own words may be in it.
    const std::string cause = absl::CHexEscape(*error != '\0' ? error : curl_easy_strerror(code));
    x.Fail(FailureOf(code, cause), absl::UnavailableError(cause));
  }
  return std::move(x.outcome);
}

absl::StatusOr<Origin> OriginOf(const std::string& text) {
  ASSIGN_OR_RETURN(const Url url, ParseUrl(text));
  Origin origin;
  ASSIGN_OR_RETURN(origin.scheme, Part(url.get(), CURLUPART_SCHEME));
  ASSIGN_OR_RETURN(origin.host, Part(url.get(), CURLUPART_HOST));
  ASSIGN_OR_RETURN(origin.port, Part(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT));
  if (origin.scheme != "http" && origin.scheme != "https") {
    return absl::InvalidArgumentError("neither http nor https");
  }
  absl::AsciiStrToLower(&origin.host);
  return origin;
}

absl::StatusOr<std::string> ResolveUrl(const std::string& base, const std::string& location) {
  ASSIGN_OR_RETURN(const Url url, ParseUrl(base));
  if (curl_url_set(url.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK) {
    return absl::InvalidArgumentError("not a URL");
  }
  return Part(url.get(), CURLUPART_URL);
}

std::string WithoutQuery(const std::string& text) {
  absl::StatusOr<Url> url = ParseUrl(text);
  if (!url.ok()) return "(not a URL)";
  for (const CURLUPart part :
       {CURLUPART_QUERY, CURLUPART_FRAGMENT, CURLUPART_USER, CURLUPART_PASSWORD}) {
    (void)curl_url_set(url->get(), part, nullptr, 0);  // removing cannot fail
  }
  return Part(url->get(), CURLUPART_URL).value_or("(not a URL)");
}

std::string UrlEscape(absl::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("-._~", c)) {
      out += c;
    } else {
      out += {'%', kHex[static_cast<unsigned char>(c) >> 4], kHex[c & 15]};
    }
  }
  return out;
}

bool IsLoopback(absl::string_view host) {
  if (host == "localhost" || host == "::1" || host == "[::1]") return true;
  const std::vector<absl::string_view> parts = absl::StrSplit(host, '.');
  if (parts.size() != 4 || parts[0] != "127") return false;
  for (const absl::string_view part : parts) {
    uint32_t value = 0;
    if (!absl::SimpleAtoi(part, &value) || value > 255) return false;
  }
  return true;
}

}  // namespace berth::registry
