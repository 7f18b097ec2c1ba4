#include "image/worker/fetch.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "image/registry/client.h"
#include "image/worker/confine.h"
#include "image/worker/layer_crew.h"
#include "image/worker/message.h"
#include "image/worker/resolve.h"
#include "image/worker/sha256.h"
#include "image/worker/slot.h"

namespace berth::worker {
namespace {

constexpr absl::Duration kProgressInterval = absl::Milliseconds(200);

// CA certificates, what the resolver reads, and where resolv.conf may lead.
const std::vector<std::string>& Readable() {
  static const auto* paths = new std::vector<std::string>{"/etc/ssl/certs",
                                                          "/etc/ssl/openssl.cnf",
                                                          "/etc/pki/tls/certs",
                                                          "/etc/pki/ca-trust",
                                                          "/usr/share/ca-certificates",
                                                          "/usr/local/share/ca-certificates",
                                                          "/etc/resolv.conf",
                                                          "/etc/hosts",
                                                          "/etc/nsswitch.conf",
                                                          "/etc/host.conf",
                                                          "/etc/gai.conf",
                                                          "/run/systemd/resolve",
                                                          "/run/resolvconf",
                                                          "/run/NetworkManager",
                                                          "/dev/urandom"};
  return *paths;
}

class RegistryFetcher : public BlobFetcher {
 public:
  explicit RegistryFetcher(registry::Client* client) : client_(client) {}
  absl::StatusOr<registry::ManifestBody> GetManifest(const std::string& reference) override {
    return client_->GetManifest(reference);
  }
  absl::StatusOr<std::string> GetBlob(const Digest& digest, uint64_t size) override {
    return client_->GetBlob(digest, size);
  }

 private:
  registry::Client* const client_;
};

absl::Status CheckRequest(const PullRequest& r) {
  if (r.registry().empty() || r.repository().empty() || (r.tag().empty() && r.digest().empty())) {
    return absl::InvalidArgumentError("pull: registry, repository, and tag or digest are needed");
  }
  // They become parts of URLs and paths.
  const std::string all = absl::StrCat(r.registry(), r.repository(), r.tag(), r.digest());
  if (all.find_first_of(" ?#%\\\r\n\t") != std::string::npos ||
      absl::StrContains(r.registry(), '/') || absl::StrContains(r.repository(), "..") ||
      r.registry()[0] == '.' || absl::StrContains(r.tag(), '/')) {
    return absl::InvalidArgumentError("pull: a name that is none");
  }
  return absl::OkStatus();
}

absl::Status FillSession(const PullRequest& request, registry::Session* session) {
  session->registry = request.registry();
  session->repository = request.repository();
  ASSIGN_OR_RETURN(session->credentials,
                   registry::CredentialsFor(request.auth(), request.registry()));
  ASSIGN_OR_RETURN(session->hosts, registry::LoadHosts(request.hosts_dir(), request.registry()));
  if (request.connect_timeout_ms() > 0) {
    session->connect_timeout = absl::Milliseconds(request.connect_timeout_ms());
  }
  if (request.no_progress_timeout_ms() > 0) {
    session->no_progress_timeout = absl::Milliseconds(request.no_progress_timeout_ms());
  }
  return absl::OkStatus();
}

// Ends the process when the daemon is gone: whatever a registry does meanwhile.
void WatchSocket(int fd, const std::atomic<bool>& done) {
  pollfd p{fd, POLLRDHUP, 0};
  while (poll(&p, 1, -1) < 0 && errno == EINTR) {
  }
  _exit(done.load() ? 0 : 1);
}

class LayerFetch {
 public:
  LayerFetch(const FetchOptions& options, registry::Session* session, Channel* channel)
      : options_(options), session_(session), channel_(channel) {
    for (size_t i = 0; i < options.slots.size(); ++i) {
      clients_.push_back(std::make_unique<registry::Client>(session));
    }
  }

  absl::Status Run(const LayerWork& work) {
    for (const auto& [diff_id, source] : work) total_ += source.size;
    LayerCrew crew(channel_->fd(), &session_->stop);
    return crew.Run(
        clients_.size(), work.size(),
        [&](size_t thread, size_t index) { return FetchOne(thread, index, work[index]); },
        [&] { return Report(); }, kProgressInterval);
  }

 private:
  absl::Status FetchOne(size_t thread, size_t index, const LayerWork::value_type& item) {
    const auto& [diff_id, source] = item;
    LayerJob job;
    job.set_diff_id(diff_id.str());
    job.set_blob(source.blob->str());
    job.set_media_type(source.media_type);
    job.set_size(source.size);
    job.set_directory(absl::StrCat(index));
    SlotWriter slot(options_.slots[thread]);
    RETURN_IF_ERROR(slot.Begin(job));
    const absl::Status fetched = clients_[thread]->StreamBlob(
        *source.blob, source.size, [&](absl::string_view data) -> absl::Status {
          if (session_->stop.load()) return absl::CancelledError("stopped");
          RETURN_IF_ERROR(slot.Write(data));
          received_.fetch_add(data.size());
          return absl::OkStatus();
        });
    if (!fetched.ok() && !absl::IsAborted(fetched)) {
      slot.Abort();
      return Explain(fetched, source);
    }
    FromWorker message;
    ASSIGN_OR_RETURN(*message.mutable_layer(), slot.End());
    return channel_->Send(std::move(message));
  }

  static absl::Status Explain(const absl::Status& status, const LayerSource& source) {
    if (!absl::StrContains(source.media_type, "foreign") &&
        !absl::StrContains(source.media_type, "nondistributable")) {
      return status;
    }
    return Annotate(status, "a layer that registries need not have (nondistributable)");
  }

  absl::Status Report() {
    const uint64_t received = received_.load();
    const uint64_t unpacked = options_.unpacked->load();
    if (received == told_received_ && unpacked == told_unpacked_) return absl::OkStatus();
    told_received_ = received;
    told_unpacked_ = unpacked;
    FromWorker message;
    Progress* progress = message.mutable_progress();
    progress->set_phase(Progress::PULLING);
    progress->set_bytes_received(received);
    progress->set_bytes_unpacked(unpacked);
    progress->set_bytes_total(total_);
    return channel_->Send(std::move(message));
  }

  const FetchOptions& options_;
  registry::Session* const session_;
  Channel* const channel_;
  std::vector<std::unique_ptr<registry::Client>> clients_;
  std::atomic<uint64_t> received_{0};
  uint64_t total_ = 0;
  uint64_t told_received_ = 0;
  uint64_t told_unpacked_ = 0;
};

absl::StatusOr<Confinement> AwaitUnpacker(int slot) {
  FromWorker ready;
  if (absl::Status s = ReceiveMessage(slot, "the unpacking process", &ready); !s.ok()) {
    return WithCode(absl::StatusCode::kInternal, s, "start the unpacking process");
  }
  if (ready.has_failure()) return ToStatus(ready.failure());
  return ready.plan().confinement();
}

}  // namespace

absl::Status RunFetch(const FetchOptions& options, Channel* channel) {
  const PullRequest& request = options.request;
  RETURN_IF_ERROR(CheckRequest(request));
  registry::Session session;
  RETURN_IF_ERROR(FillSession(request, &session));
  RETURN_IF_ERROR(registry::InitHttp());
  RETURN_IF_ERROR(ConfineFetcher(Readable()));
  ASSIGN_OR_RETURN(const Confinement confinement, AwaitUnpacker(options.slots[0]));
  // Lives as long as the process, which ends by _exit.
  static auto* done_sent = new std::atomic<bool>(false);
  [[maybe_unused]] static auto* watch =
      new std::thread([fd = channel->fd()] { WatchSocket(fd, *done_sent); });

  registry::Client client(&session);
  RegistryFetcher fetcher(&client);
  ASSIGN_OR_RETURN(const Plan plan, ResolveImage(request, &fetcher));
  FromWorker planned;
  for (const PlannedImage& image : plan.images) *planned.mutable_plan()->add_images() = image;
  *planned.mutable_plan()->mutable_confinement() = confinement;
  RETURN_IF_ERROR(channel->Send(std::move(planned)));

  ASSIGN_OR_RETURN(const ToWorker answer, channel->Receive());
  if (!answer.has_unpack()) return absl::InternalError("receive from the daemon: no request");
  ASSIGN_OR_RETURN(const LayerWork work, SelectLayers(answer.unpack(), plan));
  RETURN_IF_ERROR(LayerFetch(options, &session, channel).Run(work));

  done_sent->store(true);  // a daemon that closes the socket at once after it has heard all
  FromWorker done;
  done.mutable_done()->set_layers(static_cast<uint32_t>(work.size()));
  return channel->Send(std::move(done));
}

}  // namespace berth::worker
