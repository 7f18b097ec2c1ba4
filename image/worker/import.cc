#include "image/worker/import.h"

#include <atomic>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "image/worker/layer_crew.h"
#include "image/worker/layer_pipeline.h"
#include "image/worker/plan.h"

namespace berth::worker {
namespace {

absl::Status UnpackOne(const OuterArchive& archive, const ImportOptions& options, size_t index,
                       const std::pair<Digest, LayerSource>& item, const std::atomic<bool>& stop,
                       Channel* channel) {
  const auto& [diff_id, source] = item;
  LayerTarget target;
  target.staging_fd = options.staging_fd;
  target.name = absl::StrCat(index);
  target.limits = options.limits;
  target.stop = &stop;
  ASSIGN_OR_RETURN_CTX(const std::unique_ptr<ByteSource> member, archive.Open(source.member),
                       absl::StrCat("unpack layer ", diff_id.str()));
  FromWorker message;
  ASSIGN_OR_RETURN(*message.mutable_layer(), UnpackLayer(member.get(), diff_id, source, target));
  return channel->Send(std::move(message));
}

}  // namespace

absl::Status RunImport(const ImportOptions& options, Channel* channel) {
  ASSIGN_OR_RETURN(const OuterArchive archive, OuterArchive::Index(options.archive_fd));
  ASSIGN_OR_RETURN(const Plan plan, MakePlan(archive));
  FromWorker planned;
  for (const PlannedImage& image : plan.images) *planned.mutable_plan()->add_images() = image;
  *planned.mutable_plan()->mutable_confinement() = options.confinement;
  RETURN_IF_ERROR(channel->Send(std::move(planned)));

  ASSIGN_OR_RETURN(const ToWorker request, channel->Receive());
  if (!request.has_unpack()) return absl::InternalError("receive from the daemon: no request");
  ASSIGN_OR_RETURN(const LayerWork work, SelectLayers(request.unpack(), plan));
  std::atomic<bool> stop{false};
  LayerCrew crew(channel->fd(), &stop);
  RETURN_IF_ERROR(crew.Run(options.threads, work.size(), [&](size_t /*thread*/, size_t index) {
    return UnpackOne(archive, options, index, work[index], stop, channel);
  }));

  FromWorker done;
  done.mutable_done()->set_layers(static_cast<uint32_t>(work.size()));
  return channel->Send(std::move(done));
}

}  // namespace berth::worker
