#include "image/image_store.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/image_store_impl.h"

namespace berth::image {
namespace {

// How long a change waits for the one before it, which is busy with one transaction.
constexpr absl::Duration kSlotTimeout = absl::Minutes(2);

}  // namespace

absl::StatusOr<std::unique_ptr<ImageStore>> ImageStore::Open(Options options, store::Store* store) {
  ASSIGN_OR_RETURN_CTX(std::unique_ptr<LayerStore> disk, LayerStore::Open(options.data_dir),
                       "open image store");
  auto opened = std::make_unique<ImageStoreImpl>(std::move(options), store, std::move(disk));
  RETURN_IF_ERROR_CTX(opened->Load(), "open image store");
  return opened;
}

ImageStoreImpl::ImageStoreImpl(Options options, store::Store* store,
                               std::unique_ptr<LayerStore> disk)
    : options_(std::move(options)),
      store_(store),
      index_(ImageIndex::Make({})),
      disk_(std::move(disk)),
      collector_({.name = "image-collect", .max_threads = 1, .max_queue = 1}),
      pulls_(options_.pull_max_concurrent, [this] { table_.WakeClaims(); }) {}

absl::Status ImageStoreImpl::Load() {
  store::Batch fixes;
  RETURN_IF_ERROR(LoadLayers(&fixes));
  RETURN_IF_ERROR(LoadImages(&fixes));
  if (!fixes.empty()) RETURN_IF_ERROR(store_->Commit(fixes, store::Sync::kFull));
  disk_->EmptyTrash();
  return absl::OkStatus();
}

absl::Status ImageStoreImpl::Quarantine(const store::Record& record, const absl::Status& why) {
  LogWarning("image record put aside", {{"error", why.ToString()}});
  return store_->Quarantine(record.kind, record.id, why.message());
}

// A directory without a record is the left half of an import or a removal; a record without its
// directory is a disk that lost something.
absl::Status ImageStoreImpl::LoadLayers(store::Batch* fixes) {
  ASSIGN_OR_RETURN(std::set<Digest> unrecorded, disk_->List());
  ASSIGN_OR_RETURN(const std::vector<store::Record> rows, store_->Load(kLayerKind));
  for (const store::Record& row : rows) {
    auto layer = LayerFromRecord(row);
    if (!layer.ok()) {
      RETURN_IF_ERROR(Quarantine(row, layer.status()));
    } else if (unrecorded.erase(layer->first) != 0) {
      table_.Add(layer->first, layer->second);
    } else {
      fixes->Delete(kLayerKind, row.id);
    }
  }
  for (const Digest& layer : unrecorded) RETURN_IF_ERROR(disk_->Discard(layer, LayerFacts{}));
  return absl::OkStatus();
}

absl::Status ImageStoreImpl::LoadImages(store::Batch* fixes) {
  ASSIGN_OR_RETURN(const std::vector<store::Record> rows, store_->Load(kImageKind));
  const std::set<Digest> on_disk = table_.All();
  std::map<Digest, ImagePtr> images;
  for (const store::Record& row : rows) {
    absl::StatusOr<Image> image = ImageFromRecord(row);
    if (!image.ok()) {
      RETURN_IF_ERROR(Quarantine(row, image.status()));
      RETURN_IF_ERROR(ForgetImports(row.id, fixes));
      continue;
    }
    const auto lost = std::find_if(image->layers.begin(), image->layers.end(),
                                   [&](const Digest& d) { return on_disk.count(d) == 0; });
    if (lost != image->layers.end()) {
      LogWarning("image dropped: a layer is not on disk",
                 {{"image", row.id}, {"layer", lost->str()}});
      fixes->Delete(kImageKind, row.id);
      RETURN_IF_ERROR(ForgetImports(row.id, fixes));
      continue;
    }
    const Digest id = image->id;
    images.emplace(id, std::make_shared<const Image>(*std::move(image)));
  }
  Publish(ImageIndex::Make(std::move(images)));
  return absl::OkStatus();
}

// The files that brought the image are to be read again, should they still be there.
absl::Status ImageStoreImpl::ForgetImports(const std::string& image_id, store::Batch* batch) {
  ASSIGN_OR_RETURN(const std::vector<store::Record> rows, store_->Load(kImportKind));
  for (const store::Record& row : rows) {
    absl::StatusOr<records::ImportRecord> import = ImportFromRecord(row);
    if (!import.ok() ||
        std::count(import->image_ids().begin(), import->image_ids().end(), image_id) != 0) {
      batch->Delete(kImportKind, row.id);
    }
  }
  return absl::OkStatus();
}

ImageIndex::Ptr ImageStoreImpl::index() const {
  MutexLock lock(&mu_);
  return index_;
}

void ImageStoreImpl::Publish(ImageIndex::Ptr next) {
  MutexLock lock(&mu_);
  index_.swap(next);
}

std::vector<ImagePtr> ImageStoreImpl::List() const { return index()->List(); }

ImagePtr ImageStoreImpl::Find(absl::string_view reference) const {
  return index()->Find(reference);
}

absl::Status ImageStoreImpl::Remove(absl::string_view reference) {
  std::map<Digest, LayerFacts> condemned;
  {
    ASSIGN_OR_RETURN(const CommitSlot::Lease lease, slot_.Take(Deadline::After(kSlotTimeout)));
    const ImagePtr image = index()->Find(reference);
    if (image == nullptr) return absl::OkStatus();
    const ImageIndex::Ptr next = index()->Without(image->id);
    condemned = table_.Condemn({image->layers.begin(), image->layers.end()}, next->Layers());

    const absl::Status removed = [&]() -> absl::Status {
      store::Batch batch;
      batch.Delete(kImageKind, image->id.str());
      for (const auto& [layer, facts] : condemned) batch.Delete(kLayerKind, layer.str());
      RETURN_IF_ERROR(ForgetImports(image->id.str(), &batch));
      BERTH_FAILPOINT(image_remove_before_commit);
      return store_->Commit(batch, store::Sync::kFull);
    }();
    if (!removed.ok()) {
      table_.Restore(condemned);
      return Annotate(removed, absl::StrCat("remove image ", image->id.str()));
    }
    Publish(next);
  }
  return DropLayers(condemned);
}

absl::Status ImageStoreImpl::CollectGarbage() {
  holders_known_ = true;
  std::map<Digest, LayerFacts> condemned;
  {
    ASSIGN_OR_RETURN(const CommitSlot::Lease lease, slot_.Take(Deadline::After(kSlotTimeout)));
    condemned = table_.Condemn(table_.All(), index()->Layers());
    if (condemned.empty()) return absl::OkStatus();
    store::Batch batch;
    for (const auto& [layer, facts] : condemned) batch.Delete(kLayerKind, layer.str());
    if (absl::Status s = store_->Commit(batch, store::Sync::kFull); !s.ok()) {
      table_.Restore(condemned);
      return Annotate(s, "collect layers");
    }
  }
  return DropLayers(condemned);
}

// Their records are gone for good, so the files may go.
absl::Status ImageStoreImpl::DropLayers(const std::map<Digest, LayerFacts>& condemned) {
  const auto forget = absl::MakeCleanup([&] { table_.Forget(condemned); });
  BERTH_FAILPOINT(image_remove_after_commit);
  DiscardLayers(condemned);
  return absl::OkStatus();
}

// A layer that cannot be moved stays where it is without a record: the next import of it or the
// next start moves it away.
void ImageStoreImpl::DiscardLayers(const std::map<Digest, LayerFacts>& layers) {
  for (const auto& [layer, facts] : layers) {
    if (absl::Status s = disk_->Discard(layer, facts); !s.ok()) {
      LogWarning("layer not deleted yet", {{"layer", layer.str()}, {"error", s.ToString()}});
    }
  }
}

absl::StatusOr<FsUsage> ImageStoreImpl::Usage() const {
  FsUsage usage;
  ASSIGN_OR_RETURN_CTX(usage.mountpoint, disk_->MountPoint(), "read image usage");
  const LayerFacts layers = table_.Total();
  const LayerFacts trash = disk_->TrashTotal();
  usage.bytes = layers.bytes + trash.bytes;
  usage.inodes = layers.inodes + trash.inodes;
  return usage;
}

absl::Status ImageStoreImpl::Hold(const std::string& holder, const std::vector<Digest>& layers) {
  return table_.Hold(holder, layers);
}

void ImageStoreImpl::Unhold(const std::string& holder) {
  const std::set<Digest> released = table_.Release(holder);
  const ImageIndex::Ptr images = index();
  const bool unneeded = std::any_of(released.begin(), released.end(), [&](const Digest& layer) {
    return images->Layers().count(layer) == 0;
  });
  if (!unneeded || !holders_known_) return;
  // Not on the caller's time. A full queue is fine: the task in it has not looked yet.
  (void)collector_.Submit([this] {
    if (absl::Status s = CollectGarbage(); !s.ok()) {
      LogWarning("cannot delete unused layers", {{"error", s.ToString()}});
    }
  });
}

std::vector<std::string> ImageStoreImpl::LowerPaths(const std::vector<Digest>& layers) const {
  std::vector<std::string> lowers;
  std::set<Digest> seen;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    // A second occurrence lower down adds nothing, and the kernel refuses one directory twice.
    if (!seen.insert(*layer).second) continue;
    lowers.push_back(absl::StrCat("layers/", layer->hex()));
    // The kernel ignores the mark on the root of a lower, so the stack ends here.
    const absl::StatusOr<LayerFacts> facts = table_.Facts(*layer);
    if (facts.ok() && facts->opaque_root) break;
  }
  return lowers;
}

}  // namespace berth::image
