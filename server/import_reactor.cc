#include "server/import_reactor.h"

#include "base/status_macros.h"

namespace berth::server {
namespace {

namespace admin = ::berth::admin::v1;

void AddImage(const image::Image& image, admin::ImportImageResponse* reply) {
  admin::ImportedImage* out = reply->add_images();
  out->set_id(image.id.str());
  for (const std::string& tag : image.repo_tags) out->add_names(tag);
  out->set_size_bytes(image.size);
}

}  // namespace

struct ImportReactor::Work {
  Work(Edge* e, image::ImageStore* i, const std::string& data_dir, uint64_t limit)
      : edge(e), images(i), call(e, "ImportImage", Lane::kWaiting, {}), archive(data_dir, limit) {}
  Edge* const edge;
  image::ImageStore* const images;
  Edge::Call call;
  ImportArchive archive;
  image::ImportOptions options;
  admin::ImportImageRequest message;  // being read, or being written to disk
  bool whole = false;                 // the last message was seen
  Mutex mu;
  bool cancelled ABSL_GUARDED_BY(mu) = false;
  // From here on a cancel is answered at once; before, by the step under way.
  bool importing ABSL_GUARDED_BY(mu) = false;
  ImportReactor* waiter ABSL_GUARDED_BY(mu) = nullptr;  // null once somebody is about to Finish it
  admin::ImportImageResponse* reply ABSL_GUARDED_BY(mu) = nullptr;  // gRPC's, while waiter is set
};

ImportReactor::ImportReactor(Edge* edge, image::ImageStore* images, const std::string& data_dir,
                             uint64_t limit_bytes, admin::ImportImageResponse* reply)
    : work_(std::make_shared<Work>(edge, images, data_dir, limit_bytes)) {
  {
    MutexLock lock(&work_->mu);
    work_->waiter = this;
    work_->reply = reply;
  }
  StartRead(&work_->message);
}

void ImportReactor::OnReadDone(bool ok) {
  const std::shared_ptr<Work> work = work_;
  const absl::Status accepted = work->edge->Submit(
      Lane::kWaiting, [this, work, ok] { ok ? Append(work.get()) : Import(work.get()); });
  if (!accepted.ok()) Complete(work.get(), accepted);
}

void ImportReactor::Append(Work* work) {
  if (work->message.has_options()) {
    work->options.origin = work->message.options().origin();
    work->options.name = work->message.options().name();
    work->options.pinned = work->message.options().pinned();
  }
  work->whole = work->message.last();
  absl::Status written = work->archive.Append(work->message.chunk());
  if (written.ok()) {
    MutexLock lock(&work->mu);
    if (work->cancelled) written = absl::CancelledError("import image: the client went away");
  }
  if (!written.ok()) return Complete(work, written);
  // Nobody else finishes the call before the import begins, so `this` is alive.
  StartRead(&work->message);
}

absl::Status ImportReactor::BeginImport(Work* work) {
  MutexLock lock(&work->mu);
  if (work->cancelled) return absl::CancelledError("import image: the client went away");
  if (!work->whole) {
    return absl::InvalidArgumentError("import image: the stream ended before the archive did");
  }
  work->importing = true;
  return absl::OkStatus();
}

void ImportReactor::Import(Work* work) {
  if (absl::Status s = BeginImport(work); !s.ok()) return Complete(work, s);
  const auto images = work->archive.Import(work->images, work->options);
  if (images.ok()) {
    MutexLock lock(&work->mu);
    for (size_t i = 0; work->waiter != nullptr && i < images->size(); ++i) {
      AddImage(*(*images)[i], work->reply);
    }
  }
  Complete(work, images.status());
}

void ImportReactor::Complete(Work* work, const absl::Status& status) {
  ImportReactor* waiter = nullptr;
  {
    MutexLock lock(&work->mu);
    waiter = std::exchange(work->waiter, nullptr);
  }
  const grpc::Status answer = work->call.Done(status, waiter == nullptr);
  if (waiter != nullptr) waiter->Finish(answer);
}

void ImportReactor::OnCancel() {
  {
    MutexLock lock(&work_->mu);
    work_->cancelled = true;
    if (!work_->importing || work_->waiter == nullptr) return;
    work_->waiter = nullptr;
  }
  Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the client went away"));
}

}  // namespace berth::server
