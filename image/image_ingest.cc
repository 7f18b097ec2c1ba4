// ImageStoreImpl::Ingest: what a worker plans and unpacks becomes layers and images, for imports
// and pulls alike. Until the last transaction nothing of it is visible; a kill before leaves only
// what the next start deletes.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "image/image_store_impl.h"
#include "image/planned_images.h"

namespace berth::image {
namespace {

// Of all layers of one image together; the worker bounds each. Counted here: it is not trusted.
constexpr size_t kMaxOpaqueBytes = 4 << 20;

// A worker counts from 0 and does not get here.
constexpr char kEmptyLayerDirectory[] = "9999999999999999999";
// How long the commit waits for the ones before it, which are busy with one transaction each.
constexpr absl::Duration kSlotTimeout = absl::Minutes(2);

absl::Status MakeEmptyLayer(const Staging& staging, std::vector<StagedLayer>* staged) {
  if (mkdirat(staging.fd.get(), kEmptyLayerDirectory, 0755) != 0 ||
      fchmodat(staging.fd.get(), kEmptyLayerDirectory, 0755, 0) != 0) {
    return os::ErrnoStatus(errno, "make empty layer");
  }
  ASSIGN_OR_RETURN(const os::TreeUsage usage,
                   os::MeasureTree(staging.fd.get(), kEmptyLayerDirectory));
  staged->push_back(
      StagedLayer{EmptyLayer(), kEmptyLayerDirectory, {}, {usage.bytes, usage.inodes, false}});
  return absl::OkStatus();
}

absl::StatusOr<StagedLayer> ToStaged(const worker::LayerDone& done) {
  ASSIGN_OR_RETURN(Digest diff_id, Digest::Parse(done.diff_id()));
  StagedLayer layer{std::move(diff_id)};
  layer.directory = done.directory();
  layer.opaque_dirs.assign(done.opaque_dirs().begin(), done.opaque_dirs().end());
  layer.facts.bytes = done.bytes();
  layer.facts.inodes = done.inodes();
  layer.facts.opaque_root =
      std::count(layer.opaque_dirs.begin(), layer.opaque_dirs.end(), ".") != 0;
  return layer;
}

}  // namespace

absl::StatusOr<std::vector<ImagePtr>> ImageStoreImpl::Ingest(const IngestSource& source) {
  IngestState state{absl::StrCat("ingest:", NewHexId())};
  ASSIGN_OR_RETURN(const Staging staging, disk_->NewStaging());
  // Before the claim ends nothing of it may be left: another ingest of these layers waits for that.
  const auto done = absl::MakeCleanup([&] {
    if (absl::Status s = disk_->RemoveStaging(staging); !s.ok()) {
      LogWarning("staging directory not removed", {{"error", s.ToString()}});
    }
    Unhold(state.holder);
  });
  BERTH_FAILPOINT(image_after_staging_dir);
  RETURN_IF_ERROR(Unpack(source, staging, &state));
  ASSIGN_OR_RETURN(std::vector<ImagePtr> images, Commit(staging, &state));
  BERTH_FAILPOINT(image_after_commit);
  return images;
}

absl::Status ImageStoreImpl::Unpack(const IngestSource& source, const Staging& staging,
                                    IngestState* state) {
  WorkerProcess::Options start = source.worker;
  start.path = options_.worker_path;
  start.staging_fd = staging.fd.get();
  start.max_layer_bytes = options_.max_layer_bytes;
  ASSIGN_OR_RETURN(const std::unique_ptr<WorkerProcess> worker, WorkerProcess::Start(start));
  if (source.opening != nullptr) RETURN_IF_ERROR(worker->Send(*source.opening));
  ASSIGN_OR_RETURN(const worker::FromWorker first, worker->Receive());
  if (!first.has_plan()) return absl::InternalError("image worker did not begin with its plan");
  for (const std::string& missing : first.plan().confinement().missing()) {
    LogWarning("image worker is less confined than it should be", {{"missing", missing}});
  }
  ASSIGN_OR_RETURN(state->images, source.name(first.plan()));
  ASSIGN_OR_RETURN(state->missing, table_.Claim(state->holder, LayersOf(state->images),
                                                start.deadline, start.cancel));

  worker::ToWorker request;
  request.set_version(1);
  request.mutable_unpack();
  for (const Digest& layer : state->missing) {
    if (InPlan(first.plan(), layer)) request.mutable_unpack()->add_diff_ids(layer.str());
  }
  RETURN_IF_ERROR(worker->Send(request));
  BERTH_FAILPOINT(image_worker_unpacking);
  RETURN_IF_ERROR(ReceiveLayers(worker.get(), state));
  // From here on nobody writes to the staging directory but us.
  RETURN_IF_ERROR(worker->Finish());
  if (state->staged.size() != state->missing.size()) {
    RETURN_IF_ERROR(MakeEmptyLayer(staging, &state->staged));
  }
  return absl::OkStatus();
}

absl::Status ImageStoreImpl::ReceiveLayers(WorkerProcess* worker, IngestState* state) {
  std::set<Digest> expected = state->missing;
  size_t opaque_bytes = 0;
  for (;;) {
    ASSIGN_OR_RETURN(const worker::FromWorker message, worker->Receive());
    if (message.has_done()) break;
    if (!message.has_layer()) return absl::InternalError("image worker sent an unexpected message");
    ASSIGN_OR_RETURN(StagedLayer layer, ToStaged(message.layer()));
    if (expected.erase(layer.diff_id) == 0) {
      return absl::InternalError(absl::StrCat("image worker sent layer ", layer.diff_id.str(),
                                              ", which was not asked for"));
    }
    for (const std::string& directory : layer.opaque_dirs) opaque_bytes += directory.size();
    if (opaque_bytes > kMaxOpaqueBytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("unpack: the image's opaque directories take more than ", kMaxOpaqueBytes,
                       " bytes to name"));
    }
    state->staged.push_back(std::move(layer));
  }
  // The empty layer may be ours to make, see Unpack.
  expected.erase(EmptyLayer());
  if (expected.empty()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("image worker left out layer ", expected.begin()->str()));
}

absl::StatusOr<std::vector<ImagePtr>> ImageStoreImpl::Commit(const Staging& staging,
                                                             IngestState* state) {
  std::map<Digest, LayerFacts> made;
  for (const StagedLayer& layer : state->staged) made.emplace(layer.diff_id, layer.facts);
  if (!made.empty()) {
    if (absl::Status s = disk_->Commit(staging, state->staged); !s.ok()) {
      DiscardLayers(made);
      return s;
    }
  }
  absl::StatusOr<std::vector<ImagePtr>> images = CommitImages(made, state);
  if (!images.ok()) DiscardLayers(made);
  return images;
}

absl::StatusOr<uint64_t> ImageStoreImpl::SizeOf(const Image& image,
                                                const std::map<Digest, LayerFacts>& made) const {
  uint64_t size = std::max<uint64_t>(image.size, 1);
  for (const Digest& layer : std::set<Digest>(image.layers.begin(), image.layers.end())) {
    if (auto it = made.find(layer); it != made.end()) {
      size += it->second.bytes;
      continue;
    }
    ASSIGN_OR_RETURN(const LayerFacts facts, table_.Facts(layer));
    size += facts.bytes;
  }
  return size;
}

absl::StatusOr<std::vector<ImagePtr>> ImageStoreImpl::CommitImages(
    const std::map<Digest, LayerFacts>& made, IngestState* state) {
  ASSIGN_OR_RETURN(const CommitSlot::Lease lease, slot_.Take(Deadline::After(kSlotTimeout)));
  ImageIndex::Ptr next = index();
  std::map<Digest, ImagePtr> changed;
  for (Image& image : state->images) {
    ASSIGN_OR_RETURN(image.size, SizeOf(image, made));
    const std::vector<ImagePtr> added = next->Added(image);
    for (const ImagePtr& one : added) changed.insert_or_assign(one->id, one);
    next = next->With(added);
  }

  store::Batch batch;
  for (const auto& [layer, facts] : made) batch.Put(ToRecord(layer, facts));
  for (const auto& [id, image] : changed) batch.Put(ToRecord(*image));
  BERTH_FAILPOINT(image_before_commit);
  RETURN_IF_ERROR(store_->Commit(batch, store::Sync::kFull));
  table_.Finish(made);
  Publish(next);

  std::map<Digest, ImagePtr> imported;
  for (const Image& image : state->images) imported.emplace(image.id, next->FindById(image.id));
  std::vector<ImagePtr> list;
  list.reserve(imported.size());
  for (const auto& [id, image] : imported) list.push_back(image);
  return list;
}

}  // namespace berth::image
