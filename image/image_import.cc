// ImageStoreImpl::Import: an archive's images.
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "image/image_store_impl.h"
#include "image/planned_images.h"

namespace berth::image {

absl::StatusOr<std::vector<ImagePtr>> ImageStoreImpl::Import(os::UniqueFd archive,
                                                             const ImportOptions& options) {
  IngestSource source;
  source.worker.mode = WorkerProcess::Mode::kImport;
  source.worker.archive_fd = archive.get();
  source.worker.deadline = Deadline::After(options_.import_timeout);
  source.name = [&](const worker::ImportPlan& plan) { return NameImported(plan, options); };
  ASSIGN_OR_RETURN_CTX(std::vector<ImagePtr> images, Ingest(source),
                       absl::StrCat("import ", options.origin));
  return images;
}

}  // namespace berth::image
