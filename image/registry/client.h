// The pull side of the distribution specification: manifests and blobs of one repository, asked of
// the mirrors and then of the registry, with its authentication, redirects, retries and resumption.
// Session is thread-safe; a Client belongs to one thread and keeps its connections.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "image/registry/challenge.h"
#include "image/registry/hosts_file.h"
#include "image/registry/http.h"

namespace berth::registry {

// What the clients of one pull share.
struct Session {
  std::string registry;  // as in the reference
  std::string repository;
  std::vector<Host> hosts;
  Credentials credentials;
  absl::Duration connect_timeout = absl::Seconds(30);
  absl::Duration no_progress_timeout = absl::Seconds(60);
  absl::Duration first_backoff = absl::Milliseconds(250);
  std::atomic<bool> stop{false};

  Mutex mu;
  // Authorization by host base, found once and used by all.
  std::map<std::string, std::string> authorization ABSL_GUARDED_BY(mu);
};

struct ManifestBody {
  std::string bytes;
  std::string media_type;
};

// The codes of all errors: Unavailable (not reached, 5xx, 429), Unauthenticated, PermissionDenied,
// NotFound, DataLoss (sizes that are not as said), InvalidArgument (answers that make no sense).
// Messages name what was asked for, the URL without its query, and the cause; never a secret.
class Client {
 public:
  explicit Client(Session* session) : session_(session), transport_(&session->stop) {}

  // `reference`: a tag or a digest. The bytes are not verified here.
  absl::StatusOr<ManifestBody> GetManifest(const std::string& reference);
  // A blob of at most `size` bytes, whole. Not verified here.
  absl::StatusOr<std::string> GetBlob(const Digest& digest, uint64_t size);
  // Exactly `size` bytes into `sink`, in pieces; an error of the sink comes back as it is. After a
  // broken connection it goes on where it was, from the next host if need be.
  using Sink = std::function<absl::Status(absl::string_view)>;
  absl::Status StreamBlob(const Digest& digest, uint64_t size, const Sink& sink);

 private:
  struct Job;
  struct Outcome;
  absl::Status AskEveryHost(Job* job);
  absl::Status AskHost(const Host& host, Job* job);
  Outcome AskOnce(const Host& host, Job* job);
  HttpOutcome Follow(const Host& host, Job* job, HttpRequest request,
                     const std::string& authorization, std::string* url);
  absl::StatusOr<std::string> Authorize(const Host& host, const HttpResponse& refusal);
  absl::StatusOr<std::string> FetchToken(const Host& host, const Challenge& challenge);
  std::string KnownAuthorization(const Host& host);
  void Sleep(absl::Duration duration);

  Session* const session_;
  Transport transport_;
};

}  // namespace berth::registry
