// ImageStoreImpl: the ImageStore over LayerStore (disk), LayerTable (who needs what), the records
// and the worker. Thread-safe: the snapshot under mu_, record changes one at a time through slot_.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/worker_pool.h"
#include "image/commit_slot.h"
#include "image/image_index.h"
#include "image/image_records.h"
#include "image/image_store.h"
#include "image/layer_store.h"
#include "image/layer_table.h"
#include "image/pull_table.h"
#include "image/reference.h"
#include "image/worker_process.h"

namespace berth::image {

class ImageStoreImpl final : public ImageStore {
 public:
  ImageStoreImpl(Options options, store::Store* store, std::unique_ptr<LayerStore> disk);

  // What Open does after construction: records and disk are brought together.
  absl::Status Load();

  absl::StatusOr<std::vector<ImagePtr>> Import(os::UniqueFd archive,
                                               const ImportOptions& options) override;
  absl::Status ImportDirectory(const std::string& directory) override;
  absl::StatusOr<ImagePtr> Pull(const PullOptions& options, const Cancel& cancel) override;
  std::vector<PullStatus> Pulls() const override;
  std::vector<ImagePtr> List() const override;
  ImagePtr Find(absl::string_view reference) const override;
  absl::Status Remove(absl::string_view reference) override;
  absl::StatusOr<FsUsage> Usage() const override;
  absl::Status Hold(const std::string& holder, const std::vector<Digest>& layers) override;
  void Unhold(const std::string& holder) override;
  absl::Status CollectGarbage() override;
  std::vector<std::string> LowerPaths(const std::vector<Digest>& layers) const override;

 private:
  // Where images come from, and what they are to be called.
  struct IngestSource {
    WorkerProcess::Options worker;              // path, staging directory and limit are filled in
    const worker::ToWorker* opening = nullptr;  // what the worker is told first, if anything
    std::function<absl::StatusOr<std::vector<Image>>(const worker::ImportPlan&)> name;
  };
  // What an ingest has found out so far.
  struct IngestState {
    std::string holder;         // its name in the layer table
    std::vector<Image> images;  // of the plan; sizes not known yet
    std::set<Digest> missing;   // layers that this ingest makes
    std::vector<StagedLayer> staged;
  };

  ImageIndex::Ptr index() const;
  void Publish(ImageIndex::Ptr next);

  // Loading.
  absl::Status LoadLayers(store::Batch* fixes);
  absl::Status LoadImages(store::Batch* fixes);
  absl::Status Quarantine(const store::Record& record, const absl::Status& why);

  // Importing and pulling, in this order.
  absl::StatusOr<std::vector<ImagePtr>> Ingest(const IngestSource& source);
  absl::Status Unpack(const IngestSource& source, const Staging& staging, IngestState* state);
  absl::Status ReceiveLayers(WorkerProcess* worker, IngestState* state);
  absl::StatusOr<std::vector<ImagePtr>> Commit(const Staging& staging, IngestState* state);
  absl::StatusOr<std::vector<ImagePtr>> CommitImages(const std::map<Digest, LayerFacts>& made,
                                                     IngestState* state);
  absl::StatusOr<uint64_t> SizeOf(const Image& image,
                                  const std::map<Digest, LayerFacts>& made) const;

  // Of one pull, on its own thread.
  absl::StatusOr<ImagePtr> RunPull(const Reference& reference, const RegistryAuth& auth,
                                   PullTable::Pull* pull);

  // Import directory.
  absl::Status ImportFile(int dir_fd, const std::string& directory, const std::string& name,
                          const records::ImportRecord* known);
  absl::Status RecordImport(const std::string& name, const records::ImportRecord& record);

  // Removing.
  absl::Status ForgetImports(const std::string& image_id, store::Batch* batch);
  absl::Status DropLayers(const std::map<Digest, LayerFacts>& condemned);
  void DiscardLayers(const std::map<Digest, LayerFacts>& layers);

  const Options options_;
  store::Store* const store_;
  LayerTable table_;
  CommitSlot slot_;
  mutable Mutex mu_;
  ImageIndex::Ptr index_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<LayerStore> disk_;
  // Set by the first CollectGarbage: the containers of a run before hold their layers by then.
  std::atomic<bool> holders_known_{false};
  WorkerPool collector_;
  PullTable pulls_;  // last, so that they end before the rest goes
};

}  // namespace berth::image
