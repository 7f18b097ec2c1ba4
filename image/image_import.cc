// ImageStoreImpl::Import: an archive becomes layers and images. Until the last transaction nothing
// of it is visible; a kill before leaves only what the next start deletes.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "image/image_store_impl.h"
#include "image/reference.h"

namespace berth::image {
namespace {

// diffID of the tar that is only its two end blocks: the one layer of an image that has none, since
// overlay wants a lower directory.
constexpr char kEmptyLayer[] =
    "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
// A worker counts from 0 and does not get here.
constexpr char kEmptyLayerDirectory[] = "9999999999999999999";
constexpr int kMaxLayers = 500;  // OVL_MAX_STACK, fs/overlayfs/params.h
constexpr int kMaxImages = 1000;

Digest EmptyLayer() { return *Digest::Parse(kEmptyLayer); }

absl::Status AddName(const Reference& reference, const worker::PlannedImage& plan, Image* image) {
  if (!reference.digest.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("name image \"", reference.Canonical(), "\": a name has no digest"));
  }
  image->repo_tags.push_back(reference.Canonical());
  if (plan.repo_digest().empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Digest digest, Digest::Parse(plan.repo_digest()));
  image->repo_digests.push_back(absl::StrCat(reference.Repository(), "@", digest.str()));
  return absl::OkStatus();
}

void SortUnique(std::vector<std::string>* names) {
  std::sort(names->begin(), names->end());
  names->erase(std::unique(names->begin(), names->end()), names->end());
}

absl::Status AddNames(const worker::PlannedImage& plan, const ImportOptions& options,
                      Image* image) {
  std::vector<std::string> names(plan.repo_tags().begin(), plan.repo_tags().end());
  if (!options.name.empty()) names = {options.name};
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const Reference reference, ParseReference(name));
    RETURN_IF_ERROR(AddName(reference, plan, image));
  }
  if (names.empty()) {
    LogWarning("image has no name in the archive, it is known by its id only",
               {{"image", image->id.str()},
                {"archive", options.origin},
                {"tags", absl::StrJoin(plan.bare_tags(), ",")}});
  }
  SortUnique(&image->repo_tags);
  SortUnique(&image->repo_digests);
  return absl::OkStatus();
}

absl::StatusOr<Image> ToImage(const worker::PlannedImage& plan, const ImportOptions& options) {
  ASSIGN_OR_RETURN(Digest id, Digest::Parse(plan.config_digest()));
  Image image{std::move(id)};
  image.pinned = options.pinned;
  ASSIGN_OR_RETURN(image.config, ConfigFromWorker(plan.config()));
  if (plan.layers_size() > kMaxLayers) {
    return absl::InvalidArgumentError(absl::StrCat("read image ", image.id.str(), ": ",
                                                   plan.layers_size(), " layers, the limit is ",
                                                   kMaxLayers));
  }
  for (const worker::PlannedLayer& layer : plan.layers()) {
    ASSIGN_OR_RETURN(const Digest diff_id, Digest::Parse(layer.diff_id()));
    image.layers.push_back(diff_id);
  }
  if (image.layers.empty()) image.layers.push_back(EmptyLayer());
  // What it takes beside its layers; theirs is added when they are there.
  image.size = static_cast<uint64_t>(plan.config().ByteSizeLong());
  RETURN_IF_ERROR(AddNames(plan, options, &image));
  return image;
}

absl::StatusOr<std::vector<Image>> ToImages(const worker::ImportPlan& plan,
                                            const ImportOptions& options) {
  if (plan.images().empty() || plan.images_size() > kMaxImages) {
    return absl::InvalidArgumentError(absl::StrCat("read archive: it has ", plan.images_size(),
                                                   " images, wanted 1 to ", kMaxImages));
  }
  if (!options.name.empty() && plan.images_size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat("name image \"", options.name,
                                                   "\": the archive has ", plan.images_size(),
                                                   " images, a name is for one"));
  }
  std::vector<Image> images;
  for (const worker::PlannedImage& planned : plan.images()) {
    ASSIGN_OR_RETURN(Image image, ToImage(planned, options));
    images.push_back(std::move(image));
  }
  return images;
}

std::set<Digest> LayersOf(const std::vector<Image>& images) {
  std::set<Digest> layers;
  for (const Image& image : images) layers.insert(image.layers.begin(), image.layers.end());
  return layers;
}

bool InPlan(const worker::ImportPlan& plan, const Digest& layer) {
  for (const worker::PlannedImage& image : plan.images()) {
    for (const worker::PlannedLayer& planned : image.layers()) {
      if (planned.diff_id() == layer.str()) return true;
    }
  }
  return false;
}

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

absl::StatusOr<std::vector<ImagePtr>> ImageStoreImpl::Import(os::UniqueFd archive,
                                                             const ImportOptions& options) {
  const std::string context = absl::StrCat("import ", options.origin);
  ImportState state{absl::StrCat("import:", NewHexId()), Deadline::After(options_.import_timeout)};
  ASSIGN_OR_RETURN_CTX(const Staging staging, disk_->NewStaging(), context);
  // Before the claim ends nothing of it may be left: another import of these layers waits for that.
  const auto done = absl::MakeCleanup([&] {
    if (absl::Status s = disk_->RemoveStaging(staging); !s.ok()) {
      LogWarning("staging directory not removed", {{"error", s.ToString()}});
    }
    Unhold(state.holder);
  });
  BERTH_FAILPOINT(image_after_staging_dir);
  RETURN_IF_ERROR_CTX(Unpack(archive.get(), staging, options, &state), context);
  ASSIGN_OR_RETURN_CTX(std::vector<ImagePtr> images, Commit(staging, &state), context);
  BERTH_FAILPOINT(image_after_commit);
  return images;
}

absl::Status ImageStoreImpl::Unpack(int archive_fd, const Staging& staging,
                                    const ImportOptions& options, ImportState* state) {
  WorkerProcess::Options start{options_.worker_path, archive_fd, staging.fd.get(),
                               options_.max_layer_bytes};
  ASSIGN_OR_RETURN(const std::unique_ptr<WorkerProcess> worker,
                   WorkerProcess::Start(start, state->deadline));
  ASSIGN_OR_RETURN(const worker::FromWorker first, worker->Receive());
  if (!first.has_plan()) return absl::InternalError("image worker did not begin with its plan");
  for (const std::string& missing : first.plan().confinement().missing()) {
    LogWarning("image worker is less confined than it should be", {{"missing", missing}});
  }
  ASSIGN_OR_RETURN(state->images, ToImages(first.plan(), options));
  ASSIGN_OR_RETURN(state->missing,
                   table_.Claim(state->holder, LayersOf(state->images), state->deadline));

  worker::ToWorker request;
  request.set_version(1);
  request.mutable_unpack();
  for (const Digest& layer : state->missing) {
    if (InPlan(first.plan(), layer)) request.mutable_unpack()->add_diff_ids(layer.str());
  }
  RETURN_IF_ERROR(worker->Send(request));
  RETURN_IF_ERROR(ReceiveLayers(worker.get(), state));
  // From here on nobody writes to the staging directory but us.
  RETURN_IF_ERROR(worker->Finish());
  if (state->staged.size() != state->missing.size()) {
    RETURN_IF_ERROR(MakeEmptyLayer(staging, &state->staged));
  }
  return absl::OkStatus();
}

absl::Status ImageStoreImpl::ReceiveLayers(WorkerProcess* worker, ImportState* state) {
  std::set<Digest> expected = state->missing;
  for (;;) {
    ASSIGN_OR_RETURN(const worker::FromWorker message, worker->Receive());
    if (message.has_done()) break;
    if (!message.has_layer()) return absl::InternalError("image worker sent an unexpected message");
    ASSIGN_OR_RETURN(StagedLayer layer, ToStaged(message.layer()));
    if (expected.erase(layer.diff_id) == 0) {
      return absl::InternalError(absl::StrCat("image worker sent layer ", layer.diff_id.str(),
                                              ", which was not asked for"));
    }
    state->staged.push_back(std::move(layer));
  }
  // The empty layer may be ours to make, see Unpack.
  expected.erase(EmptyLayer());
  if (expected.empty()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("image worker left out layer ", expected.begin()->str()));
}

absl::StatusOr<std::vector<ImagePtr>> ImageStoreImpl::Commit(const Staging& staging,
                                                             ImportState* state) {
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
    const std::map<Digest, LayerFacts>& made, ImportState* state) {
  ASSIGN_OR_RETURN(const CommitSlot::Lease lease, slot_.Take(state->deadline));
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
