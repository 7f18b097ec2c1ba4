// ImageStoreImpl::Pull: an image of a registry. The worker asks the registry, with the caller's
// credentials, before any layer is looked up: nobody gets another's layers without having been
// served the manifest.
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/image_store_impl.h"
#include "image/planned_images.h"

namespace berth::image {
namespace {

// The worker gives up a transfer that stands still, and goes to the next mirror; this is for a
// worker that does neither.
constexpr int kSilentTransfers = 10;

worker::ToWorker Opening(const Reference& reference, const RegistryAuth& auth,
                         const ImageStore::Options& options) {
  worker::ToWorker message;
  message.set_version(1);
  worker::PullRequest* pull = message.mutable_pull();
  pull->set_registry(reference.domain);
  pull->set_repository(reference.path);
  pull->set_tag(reference.tag);
  pull->set_digest(reference.digest);
  pull->mutable_auth()->set_username(auth.username);
  pull->mutable_auth()->set_password(auth.password);
  pull->mutable_auth()->set_auth(auth.auth);
  pull->mutable_auth()->set_identity_token(auth.identity_token);
  pull->mutable_auth()->set_registry_token(auth.registry_token);
  pull->mutable_auth()->set_server_address(auth.server_address);
  pull->set_hosts_dir(options.registry_hosts_dir);
  pull->set_parallel_layers(options.pull_parallel_layers);
  pull->set_no_progress_timeout_ms(
      static_cast<uint64_t>(absl::ToInt64Milliseconds(options.pull_no_progress_timeout)));
  return message;
}

}  // namespace

absl::StatusOr<ImagePtr> ImageStoreImpl::Pull(const PullOptions& options, const Cancel& cancel) {
  ASSIGN_OR_RETURN_CTX(const Reference reference, ParseReference(options.reference), "pull image");
  return pulls_.Join(
      {reference.Canonical(), options.auth}, cancel,
      [this, reference, auth = options.auth](PullTable::Pull* pull) -> absl::StatusOr<ImagePtr> {
        ASSIGN_OR_RETURN_CTX(ImagePtr image, RunPull(reference, auth, pull),
                             absl::StrCat("pull image ", reference.Canonical()));
        return image;
      });
}

std::vector<PullStatus> ImageStoreImpl::Pulls() const { return pulls_.List(); }

absl::StatusOr<ImagePtr> ImageStoreImpl::RunPull(const Reference& reference,
                                                 const RegistryAuth& auth, PullTable::Pull* pull) {
  const int64_t began = MonotonicNanos();
  const worker::ToWorker opening = Opening(reference, auth, options_);
  IngestSource source;
  source.worker.mode = WorkerProcess::Mode::kPull;
  source.worker.max_silence = kSilentTransfers * options_.pull_no_progress_timeout;
  source.worker.cancel = &pull->abandoned();
  source.worker.on_progress = [&](const worker::Progress& progress) {
    pull->Report(progress.bytes_received(), progress.bytes_total());
  };
  source.opening = &opening;
  source.name = [&](const worker::ImportPlan& plan) { return NamePulled(plan, reference); };
  ASSIGN_OR_RETURN(const std::vector<ImagePtr> images, Ingest(source));
  LogInfo("image pulled",
          {{"image", reference.Canonical()},
           {"id", images[0]->id.str()},
           {"bytes", absl::StrCat(pull->bytes_received())},
           {"size", absl::StrCat(images[0]->size)},
           {"seconds", absl::StrCat(static_cast<double>(MonotonicNanos() - began) / 1e9)}});
  return images[0];
}

}  // namespace berth::image
