#include "image/registry/client.h"

#include <poll.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace berth::registry {
namespace {

constexpr int kMaxRedirects = 5;
constexpr int kMaxAttempts = 5;  // in a row without a byte of progress
constexpr int kMaxResumptions = 50;
constexpr absl::Duration kMaxBackoff = absl::Seconds(5);
constexpr size_t kMaxManifestBytes = 4 << 20;

constexpr char kManifestTypes[] =
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json";

bool MayPassLater(long status) { return status == 429 || (status >= 500 && status != 501); }

absl::StatusCode CodeOf(long status) {
  switch (status) {
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
    case 410:
      return absl::StatusCode::kNotFound;
    default:
      return status == 429 || status >= 500 ? absl::StatusCode::kUnavailable
                                            : absl::StatusCode::kInvalidArgument;
  }
}

absl::Duration RetryAfter(const HttpResponse& response) {
  int seconds = 0;
  if (!absl::SimpleAtoi(response.retry_after, &seconds) || seconds < 0) {
    return absl::ZeroDuration();
  }
  return std::min<absl::Duration>(absl::Seconds(seconds), kMaxBackoff);
}

bool IsSameOrigin(const std::string& one, const std::string& other) {
  const absl::StatusOr<Origin> a = OriginOf(one);
  const absl::StatusOr<Origin> b = OriginOf(other);
  return a.ok() && b.ok() && *a == *b;
}

// "bytes 100-199/200" must begin where we asked.
bool BeginsAt(const std::string& content_range, uint64_t offset) {
  absl::string_view text = content_range;
  uint64_t first = 0;
  return absl::ConsumePrefix(&text, "bytes ") &&
         absl::SimpleAtoi(text.substr(0, text.find('-')), &first) && first == offset;
}

}  // namespace

// One thing to get, and how much of it is there already.
struct Client::Job {
  std::string what;  // "manifest 1.36", for messages
  std::string path;  // "manifests/1.36"
  std::string accept;
  bool resolves = false;
  size_t max_body = 0;  // of `body`, where there is no sink
  uint64_t size = 0;    // of the blob for the sink
  const Sink* sink = nullptr;
  uint64_t done = 0;
  uint64_t skip = 0;  // bytes that come once more: a 200 that answers a Range
  HttpResponse response;
};

struct Client::Outcome {
  absl::Status status;
  bool again = false;    // the same host, later
  absl::Duration pause;  // at least so long before that
};

void Client::Sleep(absl::Duration duration) {
  const absl::Time until = absl::Now() + duration;
  while (!session_->stop.load() && absl::Now() < until) {
    const absl::Duration step = std::min<absl::Duration>(until - absl::Now(), absl::Seconds(1));
    (void)poll(nullptr, 0, static_cast<int>(absl::ToInt64Milliseconds(step)) + 1);
  }
}

std::string Client::KnownAuthorization(const Host& host) {
  MutexLock lock(&session_->mu);
  const auto it = session_->authorization.find(host.base);
  if (it != session_->authorization.end()) return it->second;
  const Credentials& c = session_->credentials;
  return host.own && !c.registry_token.empty() ? absl::StrCat("Bearer ", c.registry_token) : "";
}

HttpOutcome Client::Follow(const Host& host, Job* job, HttpRequest request,
                           const std::string& authorization, std::string* url) {
  const Transport::OnHead on_head = [&](const HttpResponse& head) -> absl::Status {
    const uint64_t offset = head.status == 206 ? job->done : 0;
    job->skip = job->done - offset;
    if (head.status == 206 && !BeginsAt(head.content_range, job->done)) {
      return absl::DataLossError("the answer is another range than the one asked for");
    }
    if (head.content_length.has_value() && *head.content_length != job->size - offset) {
      return absl::DataLossError(absl::StrCat("Content-Length says ", *head.content_length,
                                              " bytes where ", job->size - offset, " are due"));
    }
    return absl::OkStatus();
  };
  const absl::StatusOr<Origin> home = OriginOf(*url);
  for (int redirects = 0;; ++redirects) {
    const absl::StatusOr<Origin> origin = OriginOf(*url);
    HttpOutcome bad;
    bad.failure = HttpFailure::kSink;
    if (!home.ok() || !origin.ok()) {
      bad.status = absl::InvalidArgumentError("a redirect to what is no http or https URL");
      return bad;
    }
    if (home->scheme == "https" && origin->scheme != "https") {
      bad.status = absl::InvalidArgumentError("a redirect from https to http");
      return bad;
    }
    request.url = *url;
    request.headers.clear();
    if (!job->accept.empty()) request.headers.emplace_back("Accept", job->accept);
    if (job->done > 0) {
      request.headers.emplace_back("Range", absl::StrCat("bytes=", job->done, "-"));
    }
    request.tls = nullptr;
    // What the operator and the pod's secrets say is for this host alone.
    if (*origin == *home) {
      request.tls = &host.tls;
      request.headers.insert(request.headers.end(), host.headers.begin(), host.headers.end());
      if (!authorization.empty()) request.headers.emplace_back("Authorization", authorization);
    }
    HttpOutcome outcome =
        transport_.Perform(request, job->sink != nullptr ? on_head : Transport::OnHead());
    const long status = outcome.response.status;
    const bool redirect =
        status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    if (outcome.failure != HttpFailure::kNone || !redirect) return outcome;
    const absl::StatusOr<std::string> next = ResolveUrl(*url, outcome.response.location);
    if (redirects >= kMaxRedirects || outcome.response.location.empty() || !next.ok()) {
      bad.status = absl::InvalidArgumentError(redirects >= kMaxRedirects
                                                  ? "too many redirects"
                                                  : "a redirect without a usable Location");
      return bad;
    }
    *url = *next;
  }
}

Client::Outcome Client::AskOnce(const Host& host, Job* job) {
  std::string url = absl::StrCat(host.base, "/", session_->repository, "/", job->path);
  if (!host.own) absl::StrAppend(&url, "?ns=", UrlEscape(session_->registry));
  const std::string asked = url;
  const uint64_t before = job->done;
  HttpRequest request;
  request.connect_timeout = host.dial_timeout.value_or(session_->connect_timeout);
  request.no_progress_timeout = session_->no_progress_timeout;
  if (job->max_body > 0) request.max_body = job->max_body;
  if (job->sink != nullptr) {
    request.sink = [&](absl::string_view data) -> absl::Status {
      const uint64_t skipped = std::min<uint64_t>(job->skip, data.size());
      job->skip -= skipped;
      data.remove_prefix(skipped);
      if (job->done + data.size() > job->size) {
        return absl::DataLossError(absl::StrCat("more than the ", job->size, " bytes due"));
      }
      if (data.empty()) return absl::OkStatus();
      RETURN_IF_ERROR((*job->sink)(data));
      job->done += data.size();
      return absl::OkStatus();
    };
  }
  std::string authorization = KnownAuthorization(host);
  HttpOutcome http;
  for (int logins = 0;; ++logins) {
    url = asked;
    http = Follow(host, job, request, authorization, &url);
    if (http.failure != HttpFailure::kNone || http.response.status != 401 || logins > 0) break;
    // Whoever a redirect led to may not say where this host's credentials go.
    if (!IsSameOrigin(url, asked)) break;
    absl::StatusOr<std::string> login = Authorize(host, http.response);
    if (!login.ok()) {
      return {Annotate(login.status(),
                       absl::StrCat("authenticate for ", job->what, " at ", WithoutQuery(asked))),
              absl::IsUnavailable(login.status())};
    }
    authorization = *std::move(login);
  }
  const std::string where = absl::StrCat("get ", job->what, " from ", WithoutQuery(url));
  const long status = http.response.status;
  // What ended after the last byte has ended well.
  if (job->sink != nullptr && job->done == job->size && http.failure == HttpFailure::kBroken) {
    return {absl::OkStatus()};
  }
  if (http.failure != HttpFailure::kNone) {
    const bool sink = http.failure == HttpFailure::kSink;
    const bool ours = sink && absl::IsAborted(http.status);
    return {ours ? http.status : Annotate(http.status, where),
            // A host that took the whole patience and gave nothing will not be better at once.
            http.failure == HttpFailure::kBroken ||
                (http.failure == HttpFailure::kStalled && job->done > before)};
  }
  if (status != 200 && status != 206) {
    return {absl::Status(CodeOf(status), absl::StrCat(where, ": HTTP status ", status)),
            MayPassLater(status), RetryAfter(http.response)};
  }
  if (job->sink != nullptr && job->done < job->size) {
    return {absl::DataLossError(absl::StrCat(where, ": the body ended after ", job->done, " of ",
                                             job->size, " bytes")),
            true};
  }
  job->response = std::move(http.response);
  return {absl::OkStatus()};
}

absl::Status Client::AskHost(const Host& host, Job* job) {
  absl::Duration backoff = session_->first_backoff;
  int attempts = 0;
  for (int total = 0;; ++total) {
    const uint64_t before = job->done;
    const Outcome outcome = AskOnce(host, job);
    if (outcome.status.ok() || !outcome.again || session_->stop.load()) return outcome.status;
    if (job->done > before) {
      attempts = 0;
      backoff = session_->first_backoff;
    }
    if (++attempts >= kMaxAttempts || total >= kMaxResumptions) {
      return Annotate(outcome.status, absl::StrCat("after ", total + 1, " attempts"));
    }
    Sleep(std::max(backoff, outcome.pause));
    backoff = std::min<absl::Duration>(2 * backoff, kMaxBackoff);
  }
}

absl::Status Client::AskEveryHost(Job* job) {
  std::vector<std::string> others;
  absl::Status last =
      absl::NotFoundError(absl::StrCat("get ", job->what, ": hosts.toml leaves no host to ask"));
  for (const Host& host : session_->hosts) {
    if (job->resolves ? !host.resolve : !host.pull) continue;
    if (session_->stop.load()) return absl::CancelledError("stopped");
    last = AskHost(host, job);
    if (last.ok() || absl::IsAborted(last) || absl::IsCancelled(last)) return last;
    others.push_back(std::string(last.message()));
  }
  if (others.size() < 2) return last;
  others.pop_back();
  return absl::Status(
      last.code(),
      absl::StrCat(last.message(), " (before that: ", absl::StrJoin(others, "; "), ")"));
}

absl::StatusOr<ManifestBody> Client::GetManifest(const std::string& reference) {
  Job job;
  job.what = absl::StrCat("manifest ", reference);
  job.path = absl::StrCat("manifests/", reference);
  job.accept = kManifestTypes;
  job.resolves = !absl::StartsWith(reference, "sha256:");
  job.max_body = kMaxManifestBytes;
  RETURN_IF_ERROR(AskEveryHost(&job));
  ManifestBody manifest{std::move(job.response.body), job.response.content_type};
  manifest.media_type = manifest.media_type.substr(0, manifest.media_type.find(';'));
  return manifest;
}

absl::StatusOr<std::string> Client::GetBlob(const Digest& digest, uint64_t size) {
  std::string text;
  RETURN_IF_ERROR(StreamBlob(digest, size, [&](absl::string_view data) {
    text.append(data.data(), data.size());
    return absl::OkStatus();
  }));
  return text;
}

absl::Status Client::StreamBlob(const Digest& digest, uint64_t size, const Sink& sink) {
  Job job;
  job.what = absl::StrCat("blob ", digest.str());
  job.path = absl::StrCat("blobs/", digest.str());
  job.size = size;
  job.sink = &sink;
  return AskEveryHost(&job);
}

}  // namespace berth::registry
